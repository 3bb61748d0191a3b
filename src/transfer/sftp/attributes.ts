import type { Field, FieldReader } from './codec.ts'

/** What is known or to be set of a file. Source: draft-ietf-secsh-filexfer-02, section 5. */
export interface FileAttributes {
  readonly sizeBytes?: number
  /** With `gid` or not at all. */
  readonly uid?: number
  readonly gid?: number
  /** Type and permission bits, as `st_mode` has them. */
  readonly mode?: number
  /** Seconds since 1970. With `mtime` or not at all. */
  readonly atime?: number
  readonly mtime?: number
}

/** What a path is. `unknown`: the server did not say. */
export type FileKind = 'file' | 'directory' | 'symlink' | 'other' | 'unknown'

const HAS_SIZE = 0x1
const HAS_OWNER = 0x2
const HAS_MODE = 0x4
const HAS_TIMES = 0x8
const HAS_EXTENDED = 0x80000000

const TYPE_MASK = 0o170000
const KINDS = new Map<number, FileKind>([
  [0o100000, 'file'],
  [0o040000, 'directory'],
  [0o120000, 'symlink'],
])

/** What `attributes` say that the file is. */
export function fileKind(attributes: FileAttributes): FileKind {
  const type = (attributes.mode ?? 0) & TYPE_MASK
  if (type === 0) return 'unknown'
  return KINDS.get(type) ?? 'other'
}

/**
 * `attributes` as the fields of ATTRS. Only what is there is set by the server. A time that 32 bits cannot say (before 1970,
 * after 2106) becomes the nearest that they can.
 */
export function encodeAttributes(attributes: FileAttributes): Field[] {
  const { sizeBytes, uid, gid, mode, atime, mtime } = attributes
  const fields: Field[] = []
  let flags = 0
  const add = (flag: number, ...more: Field[]): void => {
    flags |= flag
    fields.push(...more)
  }
  if (sizeBytes !== undefined) add(HAS_SIZE, BigInt(sizeBytes))
  if (uid !== undefined && gid !== undefined) add(HAS_OWNER, uid, gid)
  if (mode !== undefined) add(HAS_MODE, mode)
  if (atime !== undefined && mtime !== undefined) add(HAS_TIMES, encodableTime(atime), encodableTime(mtime))
  return [flags, ...fields]
}

function encodableTime(seconds: number): number {
  return Math.min(Math.max(0, Math.floor(seconds)), 0xffffffff)
}

/** Reads an ATTRS field. Extended pairs are skipped. Throws `TRANSFER_FAILED` when the packet is too short for it. */
export function decodeAttributes(fields: FieldReader): FileAttributes {
  // Filled in step by step: lists of directories have this a thousand times.
  const attributes: { -readonly [K in keyof FileAttributes]: FileAttributes[K] } = {}
  const flags = fields.uint32()
  if (flags & HAS_SIZE) attributes.sizeBytes = fields.uint64()
  if (flags & HAS_OWNER) {
    attributes.uid = fields.uint32()
    attributes.gid = fields.uint32()
  }
  if (flags & HAS_MODE) attributes.mode = fields.uint32()
  if (flags & HAS_TIMES) {
    attributes.atime = fields.uint32()
    attributes.mtime = fields.uint32()
  }
  if (flags & HAS_EXTENDED) skipPairs(fields)
  return attributes
}

/** A count that lies is ended by the packet's own end. */
function skipPairs(fields: FieldReader): void {
  for (let left = fields.uint32(); left > 0; left -= 1) {
    fields.text()
    fields.text()
  }
}

/** One entry of a directory. */
export interface DirectoryEntry {
  /** The bytes of the name, as the server sent them: untrusted, may hold slashes. */
  readonly name: Buffer
  readonly attributes: FileAttributes
}

/** Reads the rest of a NAME packet. Throws `TRANSFER_FAILED` when it holds less than it says. */
export function decodeNames(fields: FieldReader): DirectoryEntry[] {
  const entries: DirectoryEntry[] = []
  for (let left = fields.uint32(); left > 0; left -= 1) {
    const name = Buffer.from(fields.text())
    fields.text() // the long form, which is for people
    entries.push({ name, attributes: decodeAttributes(fields) })
  }
  return entries
}
