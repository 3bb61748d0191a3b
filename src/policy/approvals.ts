import { createHash } from 'node:crypto'
import { lstat, readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { ensurePrivateDir, errorCode, localFileError } from '../core/atomic-file.ts'
import type { Clock } from '../core/clock.ts'
import { remexError } from '../core/errors.ts'
import { newRunId } from '../core/run-id.ts'
import { isSame, noteOf, noteText, OP_ID, requestOf, requestText, type ApprovalRequest, type AskedFor } from './approval-request.ts'
import { claimOwned, MOST_BYTES, placeOwned, readOwned } from './owned-file.ts'

/** Where requests and approvals lie, and by whose eyes. */
export interface StoreOptions {
  /** Made with mode 0700 at the first request, if it is not there; one that several users share they make themselves. */
  readonly directory: string
  readonly clock: Clock
  /** The operating system's number of who runs this. */
  readonly uid: number
  /** The name behind a number. */
  readonly nameOf: (uid: number) => Promise<string | undefined>
}

/** A request that is there, owned by the user whom it names. */
export interface StoredRequest {
  readonly request: ApprovalRequest
  readonly uid: number
  /** Of its file. */
  readonly sha256: string
}

/** Who approved: the name that was given, and the user of the operating system that owns the approval. */
export interface Approver {
  readonly user: string
  readonly osUser: string
}

/** What became of a request. */
export type RequestState = 'pending' | 'approved' | 'used' | 'expired'

/** No request is valid longer: durations end there. */
const OLDEST_MS = 25 * 86_400_000
const FILE_NAME = /^(\d{8}t\d{6}-[0-9a-f]{16})\.(?:json|approved|used)(?:\.[0-9a-f]{16}\.tmp)?$/

/**
 * Requests and approvals, files of one directory. `<op-id>.json` is a request, `<op-id>.approved` its approval, `<op-id>.used` is made
 * by who takes it. What a file says of its author counts only where the owner of the file is that user.
 */
export class ApprovalStore {
  readonly #options: StoreOptions
  /** Digests of our own requests that were read once; what has a name does not change. */
  readonly #digests = new Map<string, string | undefined>()
  #tidied: Promise<void> | undefined

  constructor(options: StoreOptions) {
    this.#options = options
  }

  /** Requests that wait for an approval, oldest first. Rejects where the directory cannot be read. */
  async pending(): Promise<readonly ApprovalRequest[]> {
    const found: ApprovalRequest[] = []
    for (const opId of await this.#ids()) {
      const stored = await this.find(opId)
      if (stored && (await this.state(stored)) === 'pending') found.push(stored.request)
    }
    return found
  }

  /** The request of this id; undefined where there is none, or one that its owner did not ask for. */
  async find(opId: string): Promise<StoredRequest | undefined> {
    if (!OP_ID.test(opId)) return undefined
    const file = await readOwned(this.#path(`${opId}.json`))
    const request = file.kind === 'read' ? requestOf(file.text) : undefined
    if (file.kind !== 'read' || request?.opId !== opId) return undefined
    if ((await this.#options.nameOf(file.uid)) !== request.osUser) return undefined
    return { request, uid: file.uid, sha256: createHash('sha256').update(file.text).digest('hex') }
  }

  /** What became of a request. One whose approval cannot be what it says still waits. */
  async state(stored: StoredRequest): Promise<RequestState> {
    if (await this.#isUsed(stored)) return 'used'
    if (this.#isExpired(stored)) return 'expired'
    return typeof (await this.approver(stored)) === 'object' ? 'approved' : 'pending'
  }

  /** Our own requests for the very same that are neither used nor expired, oldest first. */
  async waiting(asked: AskedFor): Promise<readonly StoredRequest[]> {
    const found: StoredRequest[] = []
    for (const opId of await this.#ids()) {
      if ((await this.#digestOf(opId)) !== asked.digest) continue
      const stored = await this.find(opId)
      if (stored?.uid !== this.#options.uid || !isSame(stored.request, asked)) continue
      if (!(await this.#isUsed(stored)) && !this.#isExpired(stored)) found.push(stored)
    }
    return found
  }

  /** A request that is not written yet. */
  draft(asked: AskedFor, expiresMs: number): ApprovalRequest {
    const nowMs = this.#options.clock.now()
    return { ...asked, opId: newRunId(nowMs), asked: new Date(nowMs).toISOString(), expires: new Date(nowMs + expiresMs).toISOString() }
  }

  /** Writes a request down, and removes our own that are over. Rejects with `PERMISSION_DENIED` and the like. */
  async add(request: ApprovalRequest): Promise<void> {
    const { directory } = this.#options
    const text = requestText(request)
    if (Buffer.byteLength(text) > MOST_BYTES) throw remexError('CONFIG_INVALID', `rule ${request.rule} has too many approvers to write them down`)
    await ensurePrivateDir(directory)
    await placeOwned(directory, `${request.opId}.json`, text)
    await (this.#tidied ??= this.#tidy())
  }

  /** Who approved a request; why what lies there is no approval of it; undefined where nothing does. */
  async approver({ request, sha256 }: StoredRequest): Promise<Approver | string | undefined> {
    const file = await readOwned(this.#path(`${request.opId}.approved`))
    if (file.kind === 'missing') return undefined
    if (file.kind === 'unusable') return file.reason
    const note = noteOf(file.text)
    if (note?.opId !== request.opId || note.digest !== request.digest || note.requestSha256 !== sha256) return 'it is not of this request'
    const osUser = await this.#options.nameOf(file.uid)
    return osUser === undefined ? `nobody here has the number ${file.uid} of its owner` : { user: note.user, osUser }
  }

  /** Approves a request, in the name of `user`. Whether that is allowed was decided before. Rejects with `PERMISSION_DENIED` and the like. */
  async approve({ request, sha256 }: StoredRequest, user: string): Promise<void> {
    const { directory, clock } = this.#options
    const note = { opId: request.opId, digest: request.digest, requestSha256: sha256, user, time: new Date(clock.now()).toISOString() }
    await placeOwned(directory, `${request.opId}.approved`, noteText(note))
  }

  /** Takes the approval of a request: of all who try, one gets it. */
  async take(stored: StoredRequest): Promise<boolean> {
    const { opId } = stored.request
    if (!(await claimOwned(this.#options.directory, `${opId}.used`))) return false
    // What is over is removed, the mark of its use last; so who made a new mark must find the request as it was.
    return (await this.find(opId))?.sha256 === stored.sha256 && !this.#isExpired(stored)
  }

  #path(name: string): string {
    return join(this.#options.directory, name)
  }

  #isExpired({ request }: StoredRequest): boolean {
    return Date.parse(request.expires) <= this.#options.clock.now()
  }

  async #isUsed({ request }: StoredRequest): Promise<boolean> {
    return (await this.#ownerOf(`${request.opId}.used`)) !== undefined
  }

  async #digestOf(opId: string): Promise<string | undefined> {
    if (!this.#digests.has(opId)) {
      const stored = await this.find(opId)
      this.#digests.set(opId, stored?.uid === this.#options.uid ? stored.request.digest : undefined)
    }
    return this.#digests.get(opId)
  }

  async #ids(): Promise<readonly string[]> {
    return (await this.#names()).filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -'.json'.length)).filter((id) => OP_ID.test(id)).sort()
  }

  async #names(): Promise<readonly string[]> {
    const { directory } = this.#options
    try {
      return await readdir(directory)
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return []
      throw localFileError(error, directory)
    }
  }

  /** The owner's number; undefined where there is no such file. */
  async #ownerOf(name: string): Promise<number | undefined> {
    try {
      return (await lstat(this.#path(name))).uid
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined
      throw localFileError(error, this.#path(name))
    }
  }

  /** Removes files of ours whose request is over, or is gone. Others remove theirs. */
  async #tidy(): Promise<void> {
    const oldest = newRunId(this.#options.clock.now() - OLDEST_MS).slice(0, 15)
    // A request goes before the mark of its use: nobody may find the one without the other.
    for (const name of (await this.#names()).toSorted((a, b) => Number(b.endsWith('.json')) - Number(a.endsWith('.json')))) {
      const opId = FILE_NAME.exec(name)?.[1]
      if (opId === undefined || (await this.#ownerOf(name)) !== this.#options.uid) continue
      if (opId < oldest || (!name.endsWith('.tmp') && (await this.#isOver(opId)))) await unlink(this.#path(name)).catch(() => undefined)
    }
  }

  async #isOver(opId: string): Promise<boolean> {
    const stored = await this.find(opId)
    if (stored) return stored.uid === this.#options.uid && this.#isExpired(stored)
    return (await this.#ownerOf(`${opId}.json`)) === undefined
  }
}
