import { RemexError, remexError } from '../../core/errors.ts'
import type { ErrorCode } from '../../core/errors.ts'
import { showPath } from '../path-name.ts'
import { isNotFound } from '../remote-side.ts'
import { fileKind } from '../sftp/attributes.ts'
import type { DirectoryEntry, FileAttributes } from '../sftp/attributes.ts'
import type { RemoteFile, SftpClient } from '../sftp/client.ts'
import { eachOf } from './each-of.ts'
import type { TreeEntry } from './entry.ts'
import { Listing, NO_NAME, placeIn, rootIsNoDirectory } from './listing.ts'
import type { RootedTree } from './listing.ts'

/** Requests for names of one directory under way at once: four bring 8,000 names a second at 50 ms a round trip. */
const LISTS_AHEAD = 4
/** What most directories need: one for the names, one for the end. */
const FIRST_LISTS = 2
/** With so many names a directory is not like most. OpenSSH sends at most 100 in an answer. */
const MANY_NAMES = 64
/** Names without attributes that are asked about at once. */
const LOOKS_AHEAD = 32
const MAX_ENTRIES = 1_000_000
/** PATH_MAX of Linux. */
const MAX_PATH_BYTES = 4096
/** Of all names of a directory: as many as there may be, of the length that Linux allows. */
const MAX_NAMES_BYTES = MAX_ENTRIES * 256
/** Answers in a row that bring no name. An honest server sends none, but for `.` and `..`. */
const MAX_EMPTY_ANSWERS = 16

/** What a status of the server becomes. */
const REFUSALS = new Set<ErrorCode>(['PERMISSION_DENIED', 'REMOTE_NOT_FOUND', 'TRANSFER_FAILED'])

/** What lists of a host are made with. */
interface Host {
  readonly sftp: SftpClient
  readonly root: Buffer
}

/**
 * A tree on the host. `root` may be a symbolic link to a directory; nothing below it is followed.
 * What the server sends is checked: a list that cannot be true, and a path or link that no file system has, are
 * `TRANSFER_FAILED` with the name of the directory. Rejects otherwise as `sftp` does.
 */
export function remoteTree(sftp: SftpClient, root: Buffer): RootedTree {
  const host = { sftp, root }
  return {
    prefix: `${sftp.vmId}: `,
    root: async () => {
      const attributes = await orNull(sftp.stat(root))
      if (attributes !== null && !mayBeDirectory(attributes)) throw rootIsNoDirectory(`${sftp.vmId}: `, root)
      return attributes === null ? null : { ...entryOf(NO_NAME, attributes), kind: 'directory' }
    },
    list: (directory) => listDirectory(host, directory),
    readlink: async (path) => {
      const points = await sftp.readlink(placeIn(root, path))
      if (points.length > 0 && points.length <= MAX_PATH_BYTES && !points.includes(0)) return points
      throw remexError('TRANSFER_FAILED', `${sftp.vmId}: the link ${showPath(placeIn(root, path))} says what no link can say`, { vmId: sftp.vmId })
    },
  }
}

async function listDirectory(host: Host, directory: Buffer): Promise<TreeEntry[] | null> {
  const { sftp } = host
  const opened = await open(host, directory)
  if (opened === null) return null
  try {
    const listed = new Listed(sftp.vmId, opened.path)
    await readEntries(sftp, opened, listed)
    await complete(sftp, listed)
    return listed.listing.inOrder()
  } finally {
    close(sftp, opened)
  }
}

/**
 * Null where nothing is. The server follows links when it opens a directory, so that it is asked in the same breath what
 * lies there: what was a directory when its own was listed may be a link by now.
 */
async function open({ sftp, root }: Host, directory: Buffer): Promise<RemoteFile | null> {
  const path = placeIn(root, directory)
  if (directory.length === 0) return orNull(sftp.opendir(path))
  const [looked, opened] = await Promise.allSettled([orNull(sftp.lstat(path)), orNull(sftp.opendir(path))])
  const isOther = looked.status === 'fulfilled' && looked.value !== null && !mayBeDirectory(looked.value)
  if (opened.status === 'fulfilled' && opened.value !== null && (isOther || looked.status === 'rejected')) close(sftp, opened.value)
  if (isOther) throw remexError('TRANSFER_FAILED', `${sftp.vmId}: ${showPath(path)} is not a directory`, { vmId: sftp.vmId })
  if (opened.status === 'rejected') throw opened.reason
  if (looked.status === 'rejected') throw looked.reason
  return opened.value
}

/** Servers that do not say what things are get the benefit of the doubt. */
function mayBeDirectory(attributes: FileAttributes): boolean {
  const kind = fileKind(attributes)
  return kind === 'directory' || kind === 'unknown'
}

/** Nobody waits for it, and it is sent when the transfer is cancelled too. */
function close(sftp: SftpClient, opened: RemoteFile): void {
  sftp.under(undefined).close(opened).catch(() => undefined)
}

/**
 * All that the server tells, several answers at a time. After the end nothing more is asked; what is under way is still
 * taken, because a server that works on several requests at once may answer the one with the end first.
 */
async function readEntries(sftp: SftpClient, opened: RemoteFile, listed: Listed): Promise<void> {
  const asked: Promise<readonly DirectoryEntry[] | null>[] = []
  let isAtEnd = false
  for (;;) {
    const ahead = listed.count < MANY_NAMES ? FIRST_LISTS : LISTS_AHEAD
    while (!isAtEnd && asked.length < ahead) asked.push(quietly(sftp.readdir(opened)))
    const oldest = asked.shift()
    if (oldest === undefined) return
    const entries = await (isAtEnd ? oldest.catch((error: unknown) => nullAfterEnd(sftp, error)) : oldest)
    if (entries === null) isAtEnd = true
    else listed.take(entries)
  }
}

/** A server may refuse requests after the end. A broken connection or a deadline may have kept names from us, and is no end. */
function nullAfterEnd(sftp: SftpClient, error: unknown): null {
  if (!sftp.isEnded && error instanceof RemexError && REFUSALS.has(error.code)) return null
  throw error
}

/** The names of one directory so far, held to what a directory can have. */
class Listed {
  readonly directory: Buffer
  readonly listing = new Listing()
  /** Names whose attributes the server left out. */
  readonly incomplete: Buffer[] = []
  readonly #vmId: string
  readonly #names = new Set<string>()
  #namesBytes = 0
  #emptyAnswers = 0

  constructor(vmId: string, directory: Buffer) {
    this.#vmId = vmId
    this.directory = directory
  }

  /** How many names there are so far. */
  get count(): number {
    return this.#names.size
  }

  /** Takes one answer. Throws `TRANSFER_FAILED` for what cannot be. */
  take(entries: readonly DirectoryEntry[]): void {
    const before = this.count
    for (const entry of entries) this.#add(entry)
    this.#emptyAnswers = this.count > before ? 0 : this.#emptyAnswers + 1
    if (this.#emptyAnswers > MAX_EMPTY_ANSWERS) throw this.#impossible('it has no end')
  }

  #add(entry: DirectoryEntry): void {
    const name = entry.name.toString('latin1')
    if (name === '.' || name === '..') return
    if (name === '') throw this.#impossible('an empty name')
    if (name.includes('/') || name.includes('\0')) throw this.#impossible(`the name ${showPath(entry.name)}`)
    if (this.directory.length + 1 + name.length > MAX_PATH_BYTES) throw this.#impossible(`a path longer than ${MAX_PATH_BYTES} bytes`)
    if (this.#names.has(name)) throw this.#impossible(`the name ${showPath(entry.name)} twice`)
    this.#names.add(name)
    this.#namesBytes += name.length
    if (this.count > MAX_ENTRIES) throw this.#impossible(`more than ${MAX_ENTRIES} names`)
    if (this.#namesBytes > MAX_NAMES_BYTES) throw this.#impossible(`more than ${MAX_NAMES_BYTES} bytes of names`)
    if (isWhole(entry.attributes)) this.listing.add(name, entryOf(entry.name, entry.attributes))
    else this.incomplete.push(entry.name)
  }

  #impossible(what: string): RemexError {
    const message = `${this.#vmId}: the list of the directory ${showPath(this.directory)} cannot be used: ${what}`
    return remexError('TRANSFER_FAILED', message, { vmId: this.#vmId, hint: 'Look at this directory on the host, and at its SFTP server.' })
  }
}

/** The attributes that the server left out are asked for. What has vanished since is left out. */
async function complete(sftp: SftpClient, { directory, incomplete, listing }: Listed): Promise<void> {
  await eachOf(incomplete, LOOKS_AHEAD, async (name) => {
    const attributes = await orNull(sftp.lstat(placeIn(directory, name)))
    if (attributes !== null) listing.add(name.toString('latin1'), entryOf(name, attributes))
  })
}

function isWhole(attributes: FileAttributes): boolean {
  return fileKind(attributes) !== 'unknown' && attributes.sizeBytes !== undefined && attributes.mtime !== undefined
}

/** What a server does not tell at all is zero. */
function entryOf(name: Buffer, attributes: FileAttributes): TreeEntry {
  const { sizeBytes = 0, mtime = 0, mode = 0 } = attributes
  return { name, kind: fileKind(attributes), sizeBytes, mtime, mode: mode & 0o7777 }
}

async function orNull<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked
  } catch (error) {
    if (isNotFound(error)) return null
    throw error
  }
}

/** The same promise, which may be left alone when an earlier one has failed. */
function quietly<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined)
  return promise
}
