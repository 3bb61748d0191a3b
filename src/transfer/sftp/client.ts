import { remexError } from '../../core/errors.ts'
import type { Channel } from '../../transport/contract.ts'
import { pathBytes } from '../path-name.ts'
import type { PathName } from '../path-name.ts'
import { decodeAttributes, decodeNames, encodeAttributes } from './attributes.ts'
import type { DirectoryEntry, FileAttributes } from './attributes.ts'
import { PacketType, protocolError } from './codec.ts'
import type { Field, FieldReader } from './codec.ts'
import { decodeSpace, EXTENSIONS, isOffered } from './extensions.ts'
import type { Extension, FileSystemSpace, SftpLimits } from './extensions.ts'
import { greet } from './handshake.ts'
import type { SftpOptions, SftpServer } from './handshake.ts'
import type { Question } from './wire.ts'

/** Flags of {@link SftpClient.open}. Source: draft-ietf-secsh-filexfer-02, section 6.3. */
export const OpenFlag = { READ: 0x1, WRITE: 0x2, APPEND: 0x4, CREATE: 0x8, TRUNCATE: 0x10, EXCLUSIVE: 0x20 } as const

/** A file or directory that is open on the host. */
export interface RemoteFile {
  readonly handle: Buffer
  /** What it was opened as; for messages. */
  readonly path: Buffer
}

/** A part of a file that is open on the host. */
export interface FilePart {
  readonly file: RemoteFile
  readonly offset: number
}

/** What an operation is about, and what it does there, for messages. */
type Subject = Pick<Question<unknown>, 'path' | 'action'>

const MAX_HANDLE_BYTES = 256

/**
 * SFTP version 3 over one channel. Any number of operations may be under way at once.
 * Every operation rejects with `REMOTE_NOT_FOUND`, `PERMISSION_DENIED` or `TRANSFER_FAILED` as the server says,
 * `CONNECTION_LOST` when the channel ends, `USAGE` for a path that no file can have, or the signal's reason.
 * Source: draft-ietf-secsh-filexfer-02; OpenSSH PROTOCOL, section 4.
 */
export class SftpClient {
  readonly #server: SftpServer
  readonly #signal: AbortSignal | undefined

  private constructor(server: SftpServer, signal: AbortSignal | undefined) {
    this.#server = server
    this.#signal = signal
  }

  /** Takes the channel over and greets the server; see {@link greet} for what it rejects with. Closes the channel on failure. */
  static async open(channel: Channel, options: SftpOptions): Promise<SftpClient> {
    return new SftpClient(await greet(channel, options), options.signal)
  }

  /** The same connection for operations that another signal aborts; `undefined` for none. */
  under(signal: AbortSignal | undefined): SftpClient {
    return new SftpClient(this.#server, signal)
  }

  /** The host's id. */
  get vmId(): string {
    return this.#server.wire.vmId
  }

  /** How much one read or write may carry, and how much may be open. */
  get limits(): SftpLimits {
    return this.#server.limits
  }

  /** How long a round trip took at the beginning, in ms; 0 where it is not known. */
  get roundTripMs(): number {
    return this.#server.roundTripMs
  }

  /** Whether the server has what `extension` needs. */
  offers(extension: Extension): boolean {
    return isOffered(this.#server.offered, extension)
  }

  /** Whether the channel has ended: every operation rejects. */
  get isEnded(): boolean {
    return this.#server.wire.isBroken
  }

  /** Ends the channel. Operations that are under way reject with `CANCELLED`. Safe to repeat. */
  end(): void {
    this.#server.wire.fail(remexError('CANCELLED', `${this.vmId}: the SFTP connection was closed`, { vmId: this.vmId }))
  }

  /** Opens a file; `flags` are of {@link OpenFlag}, `attributes.mode` is for a file that is made (the host's umask applies). */
  async open(path: PathName, flags: number, attributes: FileAttributes = {}): Promise<RemoteFile> {
    const action = flags & OpenFlag.CREATE ? 'create' : 'open'
    return this.#opening(PacketType.OPEN, { path: remotePath(path), action }, [flags, ...encodeAttributes(attributes)])
  }

  /** Opens a directory for {@link readdir}. */
  async opendir(path: PathName): Promise<RemoteFile> {
    return this.#opening(PacketType.OPENDIR, { path: remotePath(path), action: 'open the directory' }, [])
  }

  /** Closes a file or directory. A file system may report a failed write only now. */
  close(file: RemoteFile): Promise<void> {
    return this.#doing(PacketType.CLOSE, { path: file.path, action: 'close' }, [file.handle])
  }

  /** Up to `lengthBytes` from `offset`, at least one byte; null at the end of the file. May be fewer before it. */
  read(file: RemoteFile, offset: number, lengthBytes: number): Promise<Buffer | null> {
    const parse = (fields: FieldReader): Buffer => {
      const data = fields.text()
      if (data.length === 0 || data.length > lengthBytes) throw protocolError(`${data.length} bytes in answer to a read of ${lengthBytes}`)
      return data
    }
    const fields = [file.handle, BigInt(offset), lengthBytes]
    const answer = { answer: PacketType.DATA, parse, atEnd: null }
    return this.#ask<Buffer | null>({ type: PacketType.READ, fields, ...answer, path: file.path, action: 'read' })
  }

  /** Writes all of `data` at `offset`; `data` must not change until it resolves. */
  write(file: RemoteFile, offset: number, data: Buffer): Promise<void> {
    const fields = [file.handle, BigInt(offset), data.length]
    return this.#ask({ type: PacketType.WRITE, fields, data, answer: PacketType.STATUS, parse: nothing, path: file.path, action: 'write' })
  }

  /** What is at `path`, symbolic links followed. */
  async stat(path: PathName): Promise<FileAttributes> {
    return this.#attributes(PacketType.STAT, remotePath(path))
  }

  /** What is at `path` itself. */
  async lstat(path: PathName): Promise<FileAttributes> {
    return this.#attributes(PacketType.LSTAT, remotePath(path))
  }

  fstat(file: RemoteFile): Promise<FileAttributes> {
    return this.#attributes(PacketType.FSTAT, file.path, file.handle)
  }

  /** Sets what `attributes` has. Follows symbolic links. */
  async setstat(path: PathName, attributes: FileAttributes): Promise<void> {
    const subject = { path: remotePath(path), action: 'set the attributes of' }
    return this.#doing(PacketType.SETSTAT, subject, [subject.path, ...encodeAttributes(attributes)])
  }

  fsetstat(file: RemoteFile, attributes: FileAttributes): Promise<void> {
    const subject = { path: file.path, action: 'set the attributes of' }
    return this.#doing(PacketType.FSETSTAT, subject, [file.handle, ...encodeAttributes(attributes)])
  }

  /** Some more entries of a directory, `.` and `..` included; null when there are none left. Names are untrusted. */
  readdir(directory: RemoteFile): Promise<readonly DirectoryEntry[] | null> {
    const about = { path: directory.path, action: 'list' }
    const answer = { answer: PacketType.NAME, parse: decodeNames, atEnd: null }
    return this.#ask<readonly DirectoryEntry[] | null>({ type: PacketType.READDIR, fields: [directory.handle], ...answer, ...about })
  }

  async remove(path: PathName): Promise<void> {
    return this.#changing(PacketType.REMOVE, path, 'remove')
  }

  /** Makes a directory; the host's umask applies to `attributes.mode`. */
  async mkdir(path: PathName, attributes: FileAttributes = {}): Promise<void> {
    const subject = { path: remotePath(path), action: 'make the directory' }
    return this.#doing(PacketType.MKDIR, subject, [subject.path, ...encodeAttributes(attributes)])
  }

  async rmdir(path: PathName): Promise<void> {
    return this.#changing(PacketType.RMDIR, path, 'remove the directory')
  }

  /** Renames; whether an existing `to` is replaced or refused differs between servers (OpenSSH refuses). */
  async rename(from: PathName, to: PathName): Promise<void> {
    const subject = { path: remotePath(to), action: 'rename to' }
    return this.#doing(PacketType.RENAME, subject, [remotePath(from), subject.path])
  }

  /** The absolute form of `path`, symbolic links resolved. */
  async realpath(path: PathName): Promise<Buffer> {
    return this.#name(PacketType.REALPATH, path, 'resolve')
  }

  /** What the symbolic link at `path` says. */
  async readlink(path: PathName): Promise<Buffer> {
    return this.#name(PacketType.READLINK, path, 'read the link')
  }

  /** Makes `path` a symbolic link that says `target`. In the order of OpenSSH, which every server follows, against the draft. */
  async symlink(target: PathName, path: PathName): Promise<void> {
    const subject = { path: remotePath(path), action: 'make the link' }
    return this.#doing(PacketType.SYMLINK, subject, [remotePath(target), subject.path])
  }

  /** Puts the file's content on disk. Needs `fsync`. */
  fsync(file: RemoteFile): Promise<void> {
    return this.#extended('fsync', { path: file.path, action: 'put on disk' }, [file.handle])
  }

  /** Renames; an existing `to` is replaced in one step. Needs `posix-rename`. */
  async posixRename(from: PathName, to: PathName): Promise<void> {
    const subject = { path: remotePath(to), action: 'replace' }
    return this.#extended('posix-rename', subject, [remotePath(from), subject.path])
  }

  /** Gives the file at `from` a second name. Needs `hardlink`. */
  async hardlink(from: PathName, to: PathName): Promise<void> {
    const subject = { path: remotePath(to), action: 'make the hard link' }
    return this.#extended('hardlink', subject, [remotePath(from), subject.path])
  }

  /** Sets what `attributes` has, of a symbolic link itself; a server may be able to set only its times and owner. Needs `lsetstat`. */
  async lsetstat(path: PathName, attributes: FileAttributes): Promise<void> {
    const subject = { path: remotePath(path), action: 'set the attributes of' }
    return this.#extended('lsetstat', subject, [subject.path, ...encodeAttributes(attributes)])
  }

  /**
   * Copies `lengthBytes` (at least 1) from one open file to another within the host. The server says nothing until it is
   * done, and takes no other request: ask for a large file in parts. OpenSSH copies fewer in silence where the file ends
   * before. Needs `copy-data`.
   */
  async copyData(from: FilePart, lengthBytes: number, to: FilePart): Promise<void> {
    // On the wire, 0 would mean: to the end.
    if (lengthBytes < 1) throw remexError('INTERNAL', `a copy of ${lengthBytes} bytes`)
    const fields = [from.file.handle, BigInt(from.offset), BigInt(lengthBytes), to.file.handle, BigInt(to.offset)]
    return this.#extended('copy-data', { path: to.file.path, action: 'copy to' }, fields)
  }

  /** What is free where `path` is. Needs `statvfs`. */
  async statvfs(path: PathName): Promise<FileSystemSpace> {
    const about = { path: remotePath(path), action: 'ask for the free space of' }
    const fields = [EXTENSIONS.statvfs.wireName, about.path]
    return this.#ask({ type: PacketType.EXTENDED, fields, answer: PacketType.EXTENDED_REPLY, parse: decodeSpace, ...about })
  }

  #ask<T>(question: Question<T>): Promise<T> {
    return this.#server.wire.ask(question, this.#signal)
  }

  #doing(type: number, subject: Subject, fields: readonly Field[]): Promise<void> {
    return this.#ask({ type, fields, answer: PacketType.STATUS, parse: nothing, ...subject })
  }

  #changing(type: number, path: PathName, action: string): Promise<void> {
    const subject = { path: remotePath(path), action }
    return this.#doing(type, subject, [subject.path])
  }

  #extended(extension: Extension, subject: Subject, fields: readonly Field[]): Promise<void> {
    return this.#doing(PacketType.EXTENDED, subject, [EXTENSIONS[extension].wireName, ...fields])
  }

  #opening(type: number, subject: Subject, fields: readonly Field[]): Promise<RemoteFile> {
    const parse = (reply: FieldReader): RemoteFile => {
      const handle = Buffer.from(reply.text())
      if (handle.length > MAX_HANDLE_BYTES) throw protocolError(`a handle of ${handle.length} bytes`)
      return { handle, path: subject.path }
    }
    return this.#ask({ type, fields: [subject.path, ...fields], answer: PacketType.HANDLE, parse, ...subject })
  }

  #attributes(type: number, path: Buffer, field = path): Promise<FileAttributes> {
    return this.#ask({ type, fields: [field], answer: PacketType.ATTRS, parse: decodeAttributes, path, action: 'look at' })
  }

  #name(type: number, path: PathName, action: string): Promise<Buffer> {
    const parse = (fields: FieldReader): Buffer => {
      const [entry, ...more] = decodeNames(fields)
      if (entry === undefined || more.length > 0) throw protocolError('not exactly one name')
      return entry.name
    }
    const subject = { path: remotePath(path), action }
    return this.#ask({ type, fields: [subject.path], answer: PacketType.NAME, parse, ...subject })
  }
}

function remotePath(path: PathName): Buffer {
  return pathBytes(path, 'remote path')
}

function nothing(): void {}
