import { PassThrough } from 'node:stream'
import type { ServerChannel } from 'ssh2'
import { MAX_PACKET_BYTES, SftpFiles } from './sftp-files.ts'
import { bytes, packet, PacketReader, REPLY, REQUEST, uint32 } from './sftp-packet.ts'
import { statusOf, statusReply } from './sftp-status.ts'

/** Where and for how long SFTP is served. */
export interface SftpOptions {
  /** Where relative paths start. */
  readonly root: string
  /** Settles when the client has closed the channel or lost its connection. */
  readonly gone: Promise<void>
}

const EXTENSIONS = ['posix-rename@openssh.com', 'fsync@openssh.com', 'limits@openssh.com']

/**
 * Serves SFTP version 3 on a channel, for machines without OpenSSH's sftp-server: ssh2's own server side announces no
 * extensions and buffers without bound. One request after the other, each answered before the next is read, so that a client
 * that does not read is not served either. A packet that is no packet ends the channel.
 */
export async function serveSftp(channel: ServerChannel, { root, gone }: SftpOptions): Promise<void> {
  const files = new SftpFiles(root)
  const input = channel.pipe(new PassThrough())
  channel.on('error', () => input.destroy())
  void gone.then(() => input.destroy())
  try {
    for await (const request of packets(input)) {
      if (!(await send(channel, await reply(files, request), gone))) break
    }
    channel.exit(0)
  } catch {
    channel.exit(1)
  } finally {
    await files.closeAll()
    channel.end()
  }
}

async function reply(files: SftpFiles, content: Buffer): Promise<Buffer> {
  const request = new PacketReader(content)
  const type = request.uint8()
  if (type === REQUEST.INIT) return packet(REPLY.VERSION, uint32(3), ...EXTENSIONS.flatMap((name) => [bytes(name), bytes('1')]))
  const id = request.uint32()
  try {
    return await files.perform(type, id, request)
  } catch (error) {
    return statusReply(id, statusOf(error))
  }
}

/** Waits where the client does not read. False when it never will, because it is gone. */
async function send(channel: ServerChannel, data: Buffer, gone: Promise<void>): Promise<boolean> {
  if (channel.write(data)) return true
  const drained = new Promise<boolean>((resolve) => channel.once('drain', () => resolve(true)))
  return Promise.race([drained, gone.then(() => false)])
}

/** The packets of a stream, without their length. Throws for one that is too long. */
async function* packets(input: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let chunks: Buffer[] = []
  let gathered = 0
  let wanted = 4
  for await (const chunk of input) {
    chunks.push(chunk)
    gathered += chunk.length
    if (gathered < wanted) continue
    let rest = Buffer.concat(chunks)
    for (wanted = packetBytes(rest); rest.length >= wanted; wanted = packetBytes(rest)) {
      yield rest.subarray(4, wanted)
      rest = rest.subarray(wanted)
    }
    chunks = [rest]
    gathered = rest.length
  }
}

/** Length of the packet at the start of `data` with its length field; 4 where that is not there yet. */
function packetBytes(data: Buffer): number {
  if (data.length < 4) return 4
  const length = data.readUInt32BE()
  if (length === 0 || length > MAX_PACKET_BYTES) throw new Error('not a packet')
  return 4 + length
}
