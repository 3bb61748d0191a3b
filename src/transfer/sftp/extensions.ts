import type { FieldReader } from './codec.ts'

/**
 * The extensions that are used, by their names on the wire, with the version that is understood.
 * Source: OpenSSH PROTOCOL, section 4; copy-data: draft-ietf-secsh-filexfer-extensions-00, section 7.
 */
export const EXTENSIONS = {
  'posix-rename': { wireName: 'posix-rename@openssh.com', version: '1' },
  statvfs: { wireName: 'statvfs@openssh.com', version: '2' },
  hardlink: { wireName: 'hardlink@openssh.com', version: '1' },
  fsync: { wireName: 'fsync@openssh.com', version: '1' },
  lsetstat: { wireName: 'lsetstat@openssh.com', version: '1' },
  'copy-data': { wireName: 'copy-data', version: '1' },
  limits: { wireName: 'limits@openssh.com', version: '1' },
} as const

/** A name of {@link EXTENSIONS}. */
export type Extension = keyof typeof EXTENSIONS

/** What the server offers: name on the wire and version. */
export type Offered = ReadonlyMap<string, string>

/** Whether the server offers `extension` in the version that is understood. */
export function isOffered(offered: Offered, extension: Extension): boolean {
  const { wireName, version } = EXTENSIONS[extension]
  return offered.get(wireName) === version
}

/** Reads the rest of a VERSION packet after the version: pairs of name and value. */
export function decodeOffered(fields: FieldReader): Offered {
  const offered = new Map<string, string>()
  while (!fields.isAtEnd) offered.set(fields.text().toString('latin1'), fields.text().toString('latin1'))
  return offered
}

/** What the server can be asked for at once. */
export interface SftpLimits {
  /** How much one request may carry, in bytes of content. */
  readonly maxReadBytes: number
  readonly maxWriteBytes: number
  /** How many files and directories may be open at once, on this connection. */
  readonly maxHandles: number
}

/**
 * What every server takes. Source: draft-ietf-secsh-filexfer-02, section 3 (packets of at least 34 000 bytes). It says nothing
 * of open files; a server that tells no limit may still have a small one.
 */
export const DEFAULT_LIMITS: SftpLimits = { maxReadBytes: 32 * 1024, maxWriteBytes: 32 * 1024, maxHandles: 16 }

/** What OpenSSH takes at most; nothing larger is asked for, whatever a server says. */
const MOST_BYTES = 255 * 1024
const LEAST_BYTES = 1024
/** Type, id, handle (256 at most), offset and length around the content of a packet. */
const OVERHEAD_BYTES = 1 + 4 + (4 + 256) + 8 + 4
/** Under what a process may usually have open (1024), whatever a server says. */
const MOST_HANDLES = 1000
/** Where the server sets no limit of its own, its process still has one, which it does not tell. */
const UNLIMITED_HANDLES = 128

/** Reads the reply to `limits@openssh.com`. 0 means that the server sets no limit of its own. Source: OpenSSH PROTOCOL, section 4.8. */
export function decodeLimits(fields: FieldReader): SftpLimits {
  const largest = (said: number): number => (said === 0 ? MOST_BYTES : said)
  const packetBytes = fields.uint64()
  const perPacket = largest(packetBytes === 0 ? 0 : Math.max(packetBytes - OVERHEAD_BYTES, LEAST_BYTES))
  const clamp = (said: number): number => Math.max(LEAST_BYTES, Math.min(largest(said), perPacket, MOST_BYTES))
  const [maxReadBytes, maxWriteBytes] = [clamp(fields.uint64()), clamp(fields.uint64())]
  return { maxReadBytes, maxWriteBytes, maxHandles: Math.min(fields.uint64() || UNLIMITED_HANDLES, MOST_HANDLES) }
}

/** What is free on a file system of the host. */
export interface FileSystemSpace {
  /** For ordinary users. */
  readonly freeBytes: number
  readonly totalBytes: number
  /** How many more files can be made; `Infinity` where the file system does not count them. */
  readonly freeFiles: number
}

/** Reads the reply to `statvfs@openssh.com`. */
export function decodeSpace(fields: FieldReader): FileSystemSpace {
  fields.uint64() // the preferred block size; counts are in fragments
  const fragmentBytes = fields.uint64()
  const blocks = fields.uint64()
  fields.uint64() // free blocks, those kept for root included
  const available = fields.uint64()
  const files = fields.uint64()
  fields.uint64() // free files, those kept for root included
  const availableFiles = fields.uint64()
  return {
    freeBytes: available * fragmentBytes,
    totalBytes: blocks * fragmentBytes,
    freeFiles: files === 0 ? Infinity : availableFiles,
  }
}
