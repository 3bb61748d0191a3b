import { spawnSync } from 'node:child_process'
import type { Skipped } from '../../testkit/daemon.ts'
import type { Row } from '../harness.ts'
import type { Workspace } from '../lib/workspace.ts'

/** What a row is told before it is opened. */
export interface Wishes {
  /** Rounds that count. Default: the row's own. Rows that are measured once do not heed it. */
  readonly rounds: number | undefined
  /** A tenth of the size, for the rows that take minutes. */
  readonly quick: boolean
}

/** A row that is made ready when its turn comes, or says why it cannot be measured here. */
export interface TransferEntry {
  /** The row's own id, for `--only`. */
  readonly id: string
  readonly open: (space: Workspace, wishes: Wishes) => Promise<(Row & AsyncDisposable) | Skipped>
}

/** The reason why the programs cannot be measured with; undefined where all are there. */
export function missingProgram(...programs: readonly string[]): Skipped | undefined {
  const missing = programs.find((program) => spawnSync(program, ['--version'], { stdio: 'ignore' }).error)
  return missing === undefined ? undefined : { skipped: `${missing} is not installed` }
}
