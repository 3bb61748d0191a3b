import { constants, type Stats } from 'node:fs'
import * as fs from 'node:fs/promises'
import { attributes, bytes, packet, REPLY, REQUEST, uint32, uint64, type PacketReader, type SftpAttributes } from './sftp-packet.ts'
import { STATUS, statusReply, StatusError } from './sftp-status.ts'

/** Longest packet that is taken or sent, as sftp-server has it. */
export const MAX_PACKET_BYTES = 256 * 1024
/** A packet less room for what goes with the data. */
const MAX_DATA_BYTES = MAX_PACKET_BYTES - 1024
const MAX_HANDLES = 256
const ENTRIES_PER_REPLY = 64

const OPEN = { READ: 1, WRITE: 2, APPEND: 4, CREATE: 8, TRUNCATE: 16, EXCLUSIVE: 32 }

type Handle =
  | { readonly kind: 'file'; readonly file: fs.FileHandle }
  | { readonly kind: 'directory'; readonly path: Buffer; readonly names: Buffer[] }

type Operation = (id: number, request: PacketReader) => Promise<Buffer>

/** The files of this machine as one SFTP session sees them. Relative paths start at `root`, which is no jail. */
export class SftpFiles {
  readonly #root: Buffer
  readonly #handles = new Map<number, Handle>()
  #lastHandle = 0

  constructor(root: string) {
    this.#root = Buffer.from(`${root}/`)
  }

  /** Does what request `type` asks for and gives the reply. Rejects with what becomes a status. */
  perform(type: number, id: number, request: PacketReader): Promise<Buffer> {
    const operation = this.#operations[type]
    if (operation === undefined) throw new StatusError(STATUS.OP_UNSUPPORTED)
    return operation(id, request)
  }

  /** Closes what the client left open. */
  async closeAll(): Promise<void> {
    for (const id of [...this.#handles.keys()]) await this.#close(id).catch(() => undefined)
  }

  readonly #operations: Record<number, Operation> = {
    [REQUEST.OPEN]: (id, request) => this.#open(id, request),
    [REQUEST.CLOSE]: async (id, request) => ok(id, await this.#close(handleId(request))),
    [REQUEST.READ]: (id, request) => this.#read(id, request),
    [REQUEST.WRITE]: async (id, request) => ok(id, await this.#write(request)),
    [REQUEST.LSTAT]: async (id, request) => stat(id, await fs.lstat(this.#path(request))),
    [REQUEST.STAT]: async (id, request) => stat(id, await fs.stat(this.#path(request))),
    [REQUEST.FSTAT]: async (id, request) => stat(id, await this.#file(request).stat()),
    [REQUEST.SETSTAT]: async (id, request) => ok(id, await setAttributesOfPath(this.#path(request), request.attributes())),
    [REQUEST.FSETSTAT]: async (id, request) => ok(id, await setAttributes(this.#file(request), request.attributes())),
    [REQUEST.OPENDIR]: (id, request) => this.#openDirectory(id, request),
    [REQUEST.READDIR]: (id, request) => this.#readDirectory(id, request),
    [REQUEST.REMOVE]: async (id, request) => ok(id, await fs.unlink(this.#path(request))),
    [REQUEST.MKDIR]: async (id, request) => ok(id, await fs.mkdir(this.#path(request), request.attributes().mode ?? 0o777)),
    [REQUEST.RMDIR]: async (id, request) => ok(id, await fs.rmdir(this.#path(request))),
    [REQUEST.REALPATH]: async (id, request) => name(id, await realpath(this.#path(request))),
    [REQUEST.READLINK]: async (id, request) => name(id, await fs.readlink(this.#path(request), 'buffer')),
    [REQUEST.RENAME]: async (id, request) => ok(id, await renameToNew(this.#path(request), this.#path(request))),
    // OpenSSH has the target first, against the draft; all clients follow it.
    [REQUEST.SYMLINK]: async (id, request) => ok(id, await fs.symlink(request.bytes(), this.#path(request))),
    [REQUEST.EXTENDED]: (id, request) => this.#extended(id, request),
  }

  /** Source: OpenSSH PROTOCOL sections 4.3, 4.6 and 4.8. */
  async #extended(id: number, request: PacketReader): Promise<Buffer> {
    switch (request.bytes().toString('latin1')) {
      case 'posix-rename@openssh.com':
        return ok(id, await fs.rename(this.#path(request), this.#path(request)))
      case 'fsync@openssh.com':
        return ok(id, await this.#file(request).sync())
      case 'limits@openssh.com':
        return packet(REPLY.EXTENDED, uint32(id), ...[MAX_PACKET_BYTES, MAX_DATA_BYTES, MAX_DATA_BYTES, MAX_HANDLES].map(uint64))
      default:
        throw new StatusError(STATUS.OP_UNSUPPORTED)
    }
  }

  async #open(id: number, request: PacketReader): Promise<Buffer> {
    const path = this.#path(request)
    const flags = openFlags(request.uint32())
    const file = await this.#admit(() => fs.open(path, flags, request.attributes().mode ?? 0o666))
    return this.#give(id, { kind: 'file', file })
  }

  async #openDirectory(id: number, request: PacketReader): Promise<Buffer> {
    const path = this.#path(request)
    const names = await this.#admit(() => fs.readdir(path, { encoding: 'buffer' }))
    return this.#give(id, { kind: 'directory', path, names: [Buffer.from('.'), Buffer.from('..'), ...names] })
  }

  async #readDirectory(id: number, request: PacketReader): Promise<Buffer> {
    const handle = this.#handle(request)
    if (handle.kind !== 'directory') throw new StatusError(STATUS.FAILURE)
    const names = handle.names.splice(0, ENTRIES_PER_REPLY)
    if (names.length === 0) throw new StatusError(STATUS.EOF)
    const entries = await Promise.all(names.map(async (entry) => {
      const stats = await fs.lstat(Buffer.concat([handle.path, SLASH, entry])).catch(() => undefined)
      return stats && Buffer.concat([bytes(entry), bytes(entry), attributes(stats)])
    }))
    const present = entries.filter((entry) => entry !== undefined)
    return packet(REPLY.NAME, uint32(id), uint32(present.length), ...present)
  }

  async #read(id: number, request: PacketReader): Promise<Buffer> {
    const file = this.#file(request)
    const offset = request.uint64()
    const buffer = Buffer.allocUnsafe(Math.min(request.uint32(), MAX_DATA_BYTES))
    const { bytesRead } = await file.read(buffer, 0, buffer.length, offset)
    if (bytesRead === 0) throw new StatusError(STATUS.EOF)
    return packet(REPLY.DATA, uint32(id), bytes(buffer.subarray(0, bytesRead)))
  }

  async #write(request: PacketReader): Promise<void> {
    const file = this.#file(request)
    const offset = request.uint64()
    const data = request.bytes()
    for (let done = 0; done < data.length;) {
      done += (await file.write(data, done, data.length - done, offset + done)).bytesWritten
    }
  }

  async #admit<T>(open: () => Promise<T>): Promise<T> {
    if (this.#handles.size >= MAX_HANDLES) throw new StatusError(STATUS.FAILURE)
    return open()
  }

  #give(id: number, handle: Handle): Buffer {
    this.#handles.set(++this.#lastHandle, handle)
    return packet(REPLY.HANDLE, uint32(id), bytes(uint32(this.#lastHandle)))
  }

  async #close(id: number): Promise<void> {
    const handle = this.#handles.get(id)
    if (!this.#handles.delete(id)) throw new StatusError(STATUS.FAILURE)
    if (handle?.kind === 'file') await handle.file.close()
  }

  #handle(request: PacketReader): Handle {
    const handle = this.#handles.get(handleId(request))
    if (handle === undefined) throw new StatusError(STATUS.FAILURE)
    return handle
  }

  #file(request: PacketReader): fs.FileHandle {
    const handle = this.#handle(request)
    if (handle.kind !== 'file') throw new StatusError(STATUS.FAILURE)
    return handle.file
  }

  #path(request: PacketReader): Buffer {
    const path = request.bytes()
    return path[0] === SLASH[0] ? path : Buffer.concat([this.#root, path])
  }
}

const SLASH = Buffer.from('/')

/** The argument is what was waited for before the reply is made. */
function ok(id: number, _done: unknown): Buffer {
  return statusReply(id, STATUS.OK)
}

function stat(id: number, stats: Stats): Buffer {
  return packet(REPLY.ATTRS, uint32(id), attributes(stats))
}

function name(id: number, path: Buffer): Buffer {
  return packet(REPLY.NAME, uint32(id), uint32(1), bytes(path), bytes(path), uint32(0))
}

function handleId(request: PacketReader): number {
  const bytesOfHandle = request.bytes()
  return bytesOfHandle.length === 4 ? bytesOfHandle.readUInt32BE() : 0
}

function openFlags(flags: number): number {
  const access = flags & OPEN.WRITE ? (flags & OPEN.READ ? constants.O_RDWR : constants.O_WRONLY) : constants.O_RDONLY
  return access
    | (flags & OPEN.APPEND ? constants.O_APPEND : 0)
    | (flags & OPEN.CREATE ? constants.O_CREAT : 0)
    | (flags & OPEN.TRUNCATE ? constants.O_TRUNC : 0)
    | (flags & OPEN.EXCLUSIVE ? constants.O_EXCL : 0)
}

async function setAttributesOfPath(path: Buffer, wanted: SftpAttributes): Promise<void> {
  if (wanted.sizeBytes !== undefined) await fs.truncate(path, wanted.sizeBytes)
  if (wanted.mode !== undefined) await fs.chmod(path, wanted.mode & 0o7777)
  if (wanted.times) await fs.utimes(path, wanted.times.atime, wanted.times.mtime)
  if (wanted.owner) await fs.chown(path, wanted.owner.uid, wanted.owner.gid)
}

async function setAttributes(file: fs.FileHandle, wanted: SftpAttributes): Promise<void> {
  if (wanted.sizeBytes !== undefined) await file.truncate(wanted.sizeBytes)
  if (wanted.mode !== undefined) await file.chmod(wanted.mode & 0o7777)
  if (wanted.times) await file.utimes(wanted.times.atime, wanted.times.mtime)
  if (wanted.owner) await file.chown(wanted.owner.uid, wanted.owner.gid)
}

/** The plain rename of version 3 replaces nothing. */
async function renameToNew(from: Buffer, to: Buffer): Promise<void> {
  if (await fs.lstat(to).catch(() => undefined)) throw new StatusError(STATUS.FAILURE)
  await fs.rename(from, to)
}

/** The last part need not be there. */
async function realpath(path: Buffer): Promise<Buffer> {
  try {
    return await fs.realpath(path, 'buffer')
  } catch (error) {
    const cut = path.lastIndexOf(SLASH)
    if (Reflect.get(Object(error), 'code') !== 'ENOENT' || cut <= 0) throw error
    return Buffer.concat([await fs.realpath(path.subarray(0, cut), 'buffer'), path.subarray(cut)])
  }
}
