import { createHash } from 'node:crypto'
import { readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod/mini'
import { ensurePrivateDir, errorCode, localFileError, writeFileAtomic } from '../core/atomic-file.ts'
import { remexError } from '../core/errors.ts'
import { LockTimeoutError, withFileLock } from '../core/file-lock.ts'
import type { HostState } from '../core/host-state.ts'
import { newRunId } from '../core/run-id.ts'
import { readRegularFile } from '../core/regular-file.ts'
import type { RunRequest, ScriptRequest } from './requests.ts'

/** What became of a host in an operation. */
export interface HostOutcome {
  readonly state: HostState
  /** Of a durable run, which can be attached to again by it; else null. */
  readonly runId: string | null
}

/** How a run on several hosts went, so that the rest of it can be tried again. */
export interface Operation {
  readonly id: string
  /** Who asked. */
  readonly user: string
  /** {@link commandHash} of what was run. */
  readonly commandHash: string
  /** ISO 8601 in UTC, of the last time that something of it was run. */
  readonly finishedAt: string
  readonly hosts: ReadonlyMap<string, HostOutcome>
}

/** How long an operation is kept. */
const RETENTION_MS = 30 * 86_400_000
/** How many are kept at most, the newest. */
const MOST_KEPT = 200
/** A host takes less than 300 bytes. */
const LARGEST_BYTES = 16 * 1024 * 1024
/** Whoever holds an operation does so for as long as its run takes. */
const HOLD_TIMEOUT_MS = 300
const OPERATION_ID = /^\d{8}t\d{6}-[0-9a-f]{16}$/
const SUFFIX = '.json'

/** What a command is known by. Neither the text nor any value of the environment can be read from it. */
export function commandHash(request: RunRequest | ScriptRequest): string {
  const { operation } = request
  const what = operation === 'run' ? [operation, request.command] : [operation, request.path, request.options.args ?? [], request.options.interpreter ?? null, request.options.remote ?? false]
  return createHash('sha256').update(JSON.stringify(what)).digest('hex')
}

/** Our notes of runs on several hosts, a file for each in one directory. One that cannot be read, or is no note of ours, counts as missing. */
export class Operations {
  readonly #directory: string

  /** `directory` need not exist. */
  constructor(directory: string) {
    this.#directory = directory
  }

  /** Notes an operation, in place of an older note of it, and removes what is too old. Rejects with `PERMISSION_DENIED`, `NO_SPACE` or `LOCAL_NOT_FOUND`. */
  async write(operation: Operation, nowMs: number): Promise<void> {
    await ensurePrivateDir(this.#directory)
    await writeFileAtomic(this.#pathOf(operation.id), `${JSON.stringify(toFile(operation))}\n`)
    await this.#prune(nowMs)
  }

  /** The operation; undefined where there is no note of it. */
  async read(id: string): Promise<Operation | undefined> {
    if (!OPERATION_ID.test(id)) return undefined
    const reading = await readRegularFile(this.#pathOf(id), LARGEST_BYTES)
    const operation = reading.kind === 'read' ? fromFile(reading.data.toString('utf8')) : undefined
    return operation?.id === id ? operation : undefined
  }

  /** Holds an operation until it is disposed of. Rejects with `USAGE` where somebody else holds it. */
  async hold(id: string): Promise<AsyncDisposable> {
    await ensurePrivateDir(this.#directory)
    const over = signalled()
    const taken = signalled()
    const holding = withFileLock(`${this.#pathOf(id)}.lock`, async () => {
      taken.resolve()
      await over.promise
    }, { timeoutMs: HOLD_TIMEOUT_MS })
    try {
      await Promise.race([taken.promise, holding])
    } catch (error) {
      if (!(error instanceof LockTimeoutError)) throw error
      throw remexError('USAGE', `operation ${id} is being tried again by another process`, { hint: 'Nothing was run. Wait until that one is done, then see what is left.', cause: error })
    }
    return {
      async [Symbol.asyncDispose]() {
        over.resolve()
        await holding
      },
    }
  }

  #pathOf(id: string): string {
    return join(this.#directory, `${id}${SUFFIX}`)
  }

  /** Ids begin with their time, so that names alone tell what is old. */
  async #prune(nowMs: number): Promise<void> {
    const names = await readdir(this.#directory)
    const ids = names.filter((name) => name.endsWith(SUFFIX)).map((name) => name.slice(0, -SUFFIX.length)).filter((id) => OPERATION_ID.test(id)).sort()
    const oldest = newRunId(nowMs - RETENTION_MS).slice(0, 15)
    const tooMany = Math.max(0, ids.length - MOST_KEPT)
    for (const id of ids.filter((one, index) => index < tooMany || one < oldest)) {
      const path = this.#pathOf(id)
      // Another process may be at it too.
      await unlink(path).catch((error: unknown) => {
        if (errorCode(error) !== 'ENOENT') throw localFileError(error, path)
      })
    }
  }
}

function signalled(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve: () => void = () => undefined
  const promise = new Promise<void>((done) => (resolve = done))
  return { promise, resolve }
}

const STATES = [
  'succeeded', 'failed', 'signaled', 'timed_out', 'cancelled', 'lost', 'unreachable', 'throttled', 'host_key_refused', 'login_refused',
  'denied', 'not_started', 'not_tried', 'not_recorded',
] as const satisfies readonly HostState[]

const FILE = z.object({
  op_id: z.string().check(z.regex(OPERATION_ID)),
  user: z.string(),
  command_sha256: z.string(),
  finished_at: z.string(),
  hosts: z.record(z.string(), z.object({ state: z.enum(STATES), run_id: z.optional(z.string()) })),
})

function toFile({ id, user, commandHash: hash, finishedAt, hosts }: Operation): z.infer<typeof FILE> {
  const outcomes = [...hosts].map(([vmId, { state, runId }]) => [vmId, { state, ...(runId === null ? {} : { run_id: runId }) }] as const)
  return { op_id: id, user, command_sha256: hash, finished_at: finishedAt, hosts: Object.fromEntries(outcomes) }
}

function fromFile(text: string): Operation | undefined {
  const parsed = FILE.safeParse(jsonOf(text))
  if (!parsed.success) return undefined
  const { op_id: id, user, command_sha256: hash, finished_at: finishedAt, hosts } = parsed.data
  return { id, user, commandHash: hash, finishedAt, hosts: new Map(Object.entries(hosts).map(([vmId, { state, run_id: runId = null }]) => [vmId, { state, runId }])) }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
