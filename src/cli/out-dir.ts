import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { ensurePrivateDir, localFileError } from '../core/atomic-file.ts'
import { remexError, type RemexError } from '../core/errors.ts'
import { foldIds } from '../core/fold.ts'
import type { HostState } from '../core/host-state.ts'
import type { RunResult } from '../core/outcome.ts'
import { printable } from '../core/printable.ts'
import { complain } from './complaint.ts'
import { notice, type Door } from './door.ts'
import { HostFile } from './host-file.ts'
import { countedBytes } from './host-notes.ts'
import type { RunView } from './run-report.ts'

/** The command was cut short, and its output with it. */
const CUT: readonly HostState[] = ['cancelled', 'timed_out', 'lost']

interface Files {
  readonly stdout: HostFile
  readonly stderr: HostFile
}

/**
 * `view`, and besides a file for each stream of each host: `<host>.out` and `<host>.err` in `folder`, which is made with
 * mode 0700 where it is missing. Throws `PERMISSION_DENIED`, `LOCAL_NOT_FOUND` or `NO_SPACE` where it cannot be used.
 */
export async function outDirView(door: Door, folder: string, view: RunView): Promise<RunView> {
  await ensurePrivateDir(folder)
  await access(folder, constants.W_OK | constants.X_OK).catch((error: unknown) => {
    throw localFileError(error, folder)
  })
  const files = new HostFiles(door, folder)
  process.once('exit', files.leave)
  return {
    ...view,
    captures: view.captures ?? view.onOutput === undefined,
    onOutput: (vmId, stream, chunk) => {
      const shown = view.onOutput?.(vmId, stream, chunk)
      return Promise.all([files.of(vmId)[stream].write(chunk), shown]).then(() => undefined)
    },
    finished: async (result) => {
      await files.finished(result)
      await view.finished(result)
    },
    end: async () => {
      await view.end()
      files.tell()
    },
    close: async () => {
      // Nothing is open unless an error ended the whole.
      files.leave()
      process.off('exit', files.leave)
      await view.close?.()
    },
    failed: () => files.failed || view.failed?.() === true,
  }
}

class HostFiles {
  readonly #door: Door
  readonly #folder: string
  readonly #open = new Map<string, Files>()
  readonly #cut: string[] = []
  #failed = false

  constructor(door: Door, folder: string) {
    this.#door = door
    this.#folder = folder
  }

  /** Whether a file could not be written. */
  get failed(): boolean {
    return this.#failed
  }

  of(vmId: string): Files {
    const known = this.#open.get(vmId)
    if (known) return known
    const made = { stdout: new HostFile(join(this.#folder, `${vmId}.out`)), stderr: new HostFile(join(this.#folder, `${vmId}.err`)) }
    this.#open.set(vmId, made)
    return made
  }

  /** Puts the files of the host in their place; empty ones where it wrote nothing, so that old ones pass for nothing. */
  async finished(result: RunResult): Promise<void> {
    const { vmId, state, check } = result
    // The output of a check belongs to no run, and the files of its host are there already.
    if (check) return
    const { stdout, stderr } = this.of(vmId)
    const counted = countedBytes(this.#door, result)
    const errors = [await stdout.end(counted.stdout), await stderr.end(counted.stderr)]
    this.#open.delete(vmId)
    const error = errors.find((each) => each !== undefined)
    if (error) this.#complain(vmId, error)
    else if (CUT.includes(state)) this.#cut.push(vmId)
  }

  /** Says whose files are not whole because their runs are not. */
  tell(): void {
    if (this.#cut.length === 0 || this.#door.stop.silent) return
    notice(this.#door, `${printable(this.#folder)} has what came until the end of ${printable(foldIds(this.#cut))}, and the output may not be whole`)
  }

  /** The process is about to end: what came so far gets its name. */
  readonly leave = (): void => {
    for (const { stdout, stderr } of this.#open.values()) {
      stdout.leave()
      stderr.leave()
    }
  }

  #complain(vmId: string, { code, message }: RemexError): void {
    this.#failed = true
    complain(this.#door, remexError(code, `${vmId}: its output was not written; what was there before stays: ${message}`, { vmId, hint: 'The run itself went on. Make room, or name another directory with --out-dir.' }))
  }
}
