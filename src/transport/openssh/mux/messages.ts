import { sshString, TruncatedError, uint32, WireReader } from '../../../core/ssh-wire.ts'

/** Messages of the connection protocol. Source: RFC 4254 section 9. */
export const MESSAGE = {
  open: 90,
  openConfirmation: 91,
  openFailure: 92,
  windowAdjust: 93,
  data: 94,
  extendedData: 95,
  eof: 96,
  close: 97,
  request: 98,
  success: 99,
  failure: 100,
} as const

/** The type of extended data that is standard error; there is no other. Source: RFC 4254 section 5.2. */
const STDERR = 1

/** What comes in on a channel, as far as it means something to us. */
export type ChannelMessage =
  | { readonly kind: 'confirmed'; readonly remoteId: number; readonly window: number; readonly maxPacket: number }
  | { readonly kind: 'refused'; readonly reason: number; readonly text: string }
  | { readonly kind: 'adjust'; readonly bytes: number }
  | { readonly kind: 'eof' | 'close' | 'success' | 'failure' }
  | { readonly kind: 'request'; readonly name: string; readonly wantsReply: boolean; readonly rest: WireReader }

/** Where data of a channel goes. */
export type DataKind = 'stdout' | 'stderr' | 'discard'

/** What comes before the data in a frame. */
export interface DataHead {
  readonly channel: number
  readonly kind: DataKind
  readonly headBytes: number
  readonly dataBytes: number
}

const DATA_HEAD_BYTES = 10
const EXTENDED_HEAD_BYTES = 14

/** The head of a frame with data, from the beginning of one; undefined for other frames, and where not all of the head is there. */
export function dataHead(bytes: Buffer): DataHead | undefined {
  const type = bytes[1]
  if (type === MESSAGE.data && bytes.length >= DATA_HEAD_BYTES) {
    return { channel: bytes.readUInt32BE(2), kind: 'stdout', headBytes: DATA_HEAD_BYTES, dataBytes: bytes.readUInt32BE(6) }
  }
  if (type !== MESSAGE.extendedData || bytes.length < EXTENDED_HEAD_BYTES) return undefined
  const kind = bytes.readUInt32BE(6) === STDERR ? 'stderr' : 'discard'
  return { channel: bytes.readUInt32BE(2), kind, headBytes: EXTENDED_HEAD_BYTES, dataBytes: bytes.readUInt32BE(10) }
}

/**
 * The channel that a frame is for, by our number, and what it says; undefined for what is not about a channel, and for data.
 * A frame is a packet without its padding, behind one byte for its length. Throws `TruncatedError` for one that ends too early.
 * Source: OpenSSH channels.c, channel_proxy_upstream.
 */
export function readMessage(frame: Buffer): { readonly channel: number; readonly message: ChannelMessage } | undefined {
  const reader = new WireReader(frame)
  reader.byte()
  const type = reader.byte()
  const isData = type === MESSAGE.data || type === MESSAGE.extendedData
  if (isData && !dataHead(frame)) throw new TruncatedError('a message ends too early')
  if (isData || type < MESSAGE.openConfirmation || type > MESSAGE.failure) return undefined
  return { channel: reader.uint32(), message: read(type, reader) }
}

function read(type: number, reader: WireReader): ChannelMessage {
  switch (type) {
    case MESSAGE.openConfirmation:
      return { kind: 'confirmed', remoteId: reader.uint32(), window: reader.uint32(), maxPacket: reader.uint32() }
    case MESSAGE.openFailure:
      return { kind: 'refused', reason: reader.uint32(), text: reader.text() }
    case MESSAGE.windowAdjust:
      return { kind: 'adjust', bytes: reader.uint32() }
    case MESSAGE.request:
      return { kind: 'request', name: reader.text(), wantsReply: reader.byte() !== 0, rest: reader }
    case MESSAGE.eof:
      return { kind: 'eof' }
    case MESSAGE.close:
      return { kind: 'close' }
    default:
      return { kind: type === MESSAGE.success ? 'success' : 'failure' }
  }
}

/** A frame with a message: its parts one after the other. */
export function frame(type: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([frameHead(type, { before: 0, length: body.length }), body])
}

/** What comes before the body of a message, which has `length` bytes, with room for the first `before` of them. */
export function frameHead(type: number, { before, length }: { readonly before: number; readonly length: number }): Buffer {
  const head = Buffer.allocUnsafe(6 + before)
  head.writeUInt32BE(length + 2, 0)
  head[4] = 0
  head[5] = type
  return head
}

/** A request on a channel, with what is particular to it. Source: RFC 4254 section 5.4. */
export function requestFrame(remoteId: number, name: string, { wantsReply, rest = Buffer.alloc(0) }: { readonly wantsReply: boolean; readonly rest?: Buffer }): Buffer {
  return frame(MESSAGE.request, uint32(remoteId), sshString(name), Buffer.from([wantsReply ? 1 : 0]), rest)
}
