import { readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod/mini'
import { ensurePrivateDir, errorCode, localFileError, writeFileAtomic } from '../core/atomic-file.ts'
import { remexError } from '../core/errors.ts'
import type { Ended } from '../core/outcome.ts'
import { printable } from '../core/printable.ts'
import { readRegularFile } from '../core/regular-file.ts'

/** What we noted of a durable run that was started from here. */
export interface RunNote {
  readonly runId: string
  readonly vmId: string
  /** Who asked. */
  readonly user: string
  readonly operation: 'run' | 'script'
  /** For people; cut at {@link LONGEST_COMMAND} characters. */
  readonly command: string
  /** ISO 8601 in UTC. */
  readonly startedAt: string
  /** Null while its end is not known here. */
  readonly ended: Ended | null
  /** Null unless it exited. */
  readonly exitCode: number | null
  /** ISO 8601 in UTC; null while its end is not known here. */
  readonly finishedAt: string | null
}

/** A command is noted up to here; it is for people, and nothing is run by it. */
export const LONGEST_COMMAND = 8192

/** No note that we wrote is larger: a character of a command takes at most six bytes. */
const LARGEST_NOTE_BYTES = 65_536
const RUN_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const VM_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/
const SUFFIX = '.json'

/**
 * Our own notes of durable runs, one file for each run and host in one directory. They serve to find a run again; what
 * became of it, its host knows best. A file that cannot be read or is no note of ours is passed over.
 */
export class RunRegistry {
  readonly #directory: string

  /** `directory` need not exist. */
  constructor(directory: string) {
    this.#directory = directory
  }

  /**
   * Notes a run, in place of an older note of it. Rejects with `USAGE` for ids that no run can have, and with
   * `PERMISSION_DENIED`, `NO_SPACE` or `LOCAL_NOT_FOUND` where it cannot be written.
   */
  async add(note: RunNote): Promise<void> {
    const path = this.#pathOf(note)
    await ensurePrivateDir(this.#directory)
    await writeFileAtomic(path, `${JSON.stringify(toFile(note))}\n`)
  }

  /** Adds to a note how the run ended. Where there is no note, as for a run started elsewhere, nothing is done. Rejects as {@link add}. */
  async finish(runId: string, vmId: string, end: Pick<RunNote, 'ended' | 'exitCode' | 'finishedAt'>): Promise<void> {
    const note = await this.#read(nameOf(runId, vmId))
    if (note) await this.add({ ...note, ...end })
  }

  /** The notes of a run, one for each host it was started on. An id that no run can have has none. */
  async find(runId: string): Promise<readonly RunNote[]> {
    const notes = await this.#readAll((name) => name.startsWith(`${runId}.`))
    return notes.filter((note) => note.runId === runId)
  }

  /** All notes, in the order of their start. */
  async list(): Promise<readonly RunNote[]> {
    const notes = await this.#readAll(() => true)
    return notes.sort((a, b) => compare(a.startedAt, b.startedAt) || compare(a.runId, b.runId) || compare(a.vmId, b.vmId))
  }

  /** Removes a note; one that is not there is no error. */
  async remove(runId: string, vmId: string): Promise<void> {
    const path = this.#pathOf({ runId, vmId })
    await unlink(path).catch((error: unknown) => {
      if (errorCode(error) !== 'ENOENT') throw localFileError(error, path)
    })
  }

  #pathOf({ runId, vmId }: Pick<RunNote, 'runId' | 'vmId'>): string {
    return join(this.#directory, nameOf(runId, vmId))
  }

  async #readAll(wanted: (name: string) => boolean): Promise<RunNote[]> {
    const notes: RunNote[] = []
    for (const name of await this.#names()) {
      const note = name.endsWith(SUFFIX) && wanted(name) ? await this.#read(name) : undefined
      if (note) notes.push(note)
    }
    return notes
  }

  async #names(): Promise<string[]> {
    try {
      return await readdir(this.#directory)
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return []
      throw localFileError(error, this.#directory)
    }
  }

  /** Undefined for anything that is no note of ours under its own name. */
  async #read(name: string): Promise<RunNote | undefined> {
    const reading = await readRegularFile(join(this.#directory, name), LARGEST_NOTE_BYTES)
    const note = reading.kind === 'read' ? fromFile(reading.data.toString('utf8')) : undefined
    return note && nameOf(note.runId, note.vmId) === name ? note : undefined
  }
}

/** Dots of the host's id are encoded: else run `a.b` on `c` and run `a` on `b.c` would share a file. */
function nameOf(runId: string, vmId: string): string {
  if (!RUN_ID.test(runId)) throw remexError('USAGE', `${printable(runId)} is no run id`, { hint: 'Letters, digits, ".", "_" and "-", at most 64, beginning with a letter or digit.' })
  if (!VM_ID.test(vmId)) throw remexError('USAGE', `${printable(vmId)} is no host id`)
  return `${runId}.${vmId.replaceAll('.', '%2E')}${SUFFIX}`
}

const MOMENT = z.string().check(z.maxLength(40))

const FILE = z.object({
  run_id: z.string().check(z.regex(RUN_ID)),
  vm_id: z.string().check(z.regex(VM_ID)),
  user: z.string(),
  operation: z.enum(['run', 'script']),
  command: z.string(),
  started_at: MOMENT,
  ended: z.nullable(z.enum(['exited', 'signaled', 'timed_out', 'cancelled', 'lost', 'not_started'])),
  exit_code: z.nullable(z.int()),
  finished_at: z.nullable(MOMENT),
})

function toFile({ runId, vmId, user, operation, command, startedAt, ended, exitCode, finishedAt }: RunNote): z.infer<typeof FILE> {
  const shown = command.length > LONGEST_COMMAND ? `${command.slice(0, LONGEST_COMMAND - 1)}…` : command
  return { run_id: runId, vm_id: vmId, user, operation, command: shown, started_at: startedAt, ended, exit_code: exitCode, finished_at: finishedAt }
}

function fromFile(text: string): RunNote | undefined {
  const parsed = FILE.safeParse(jsonOf(text))
  if (!parsed.success) return undefined
  const { run_id: runId, vm_id: vmId, started_at: startedAt, exit_code: exitCode, finished_at: finishedAt, ...rest } = parsed.data
  return { runId, vmId, startedAt, exitCode, finishedAt, ...rest }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}
