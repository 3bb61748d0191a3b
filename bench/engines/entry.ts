import { findProgram, type Skipped } from '../../testkit/daemon.ts'
import type { Row } from '../harness.ts'
import type { Wishes } from '../fleet/entry.ts'
import type { Workspace } from '../lib/workspace.ts'

/** What all rows share. */
export interface EngineStage extends Wishes {
  readonly space: Workspace
}

/** A row that is made ready when its turn comes, or says why it cannot be measured here. */
export interface EngineEntry {
  /** The row's own id, for `--only`. */
  readonly id: string
  readonly open: (stage: EngineStage) => Promise<(Row & AsyncDisposable) | Skipped>
}

/** The Debian packages of the programs that rows need. */
const PACKAGES = { sshd: 'openssh-server', ssh: 'openssh-client', sftp: 'openssh-client', clush: 'clustershell', diff: 'diffutils' } as const

/** The reason why the programs cannot be measured with; undefined where all are there. */
export function absent(...programs: readonly (keyof typeof PACKAGES)[]): Skipped | undefined {
  const missing = programs.find((program) => findProgram(program) === undefined)
  return missing === undefined ? undefined : { skipped: `${missing} is not installed (Debian: ${PACKAGES[missing]})` }
}

/** Opens a row. What is to be done after it is told to `afterwards` at once: it is done, the last first, also where the opening fails. */
export async function clearedAway(open: (afterwards: (clear: () => unknown) => void) => Promise<Row>): Promise<Row & AsyncDisposable> {
  const clears: (() => unknown)[] = []
  const clearAll = async (): Promise<void> => {
    const left = await Promise.allSettled(clears.toReversed().map(async (clear) => clear()))
    for (const one of left) if (one.status === 'rejected') throw one.reason
  }
  try {
    return { ...(await open((clear) => clears.push(clear))), [Symbol.asyncDispose]: clearAll }
  } catch (error) {
    await clearAll()
    throw error
  }
}
