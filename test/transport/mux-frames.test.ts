import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sshString, uint32 } from '../../src/core/ssh-wire.ts'
import { FrameReader, MAX_FRAME_BYTES } from '../../src/transport/openssh/mux/frames.ts'
import { MESSAGE } from '../../src/transport/openssh/mux/messages.ts'
import { dataFrame, extendedFrame, packetFrame } from './mux-puppet.ts'

/** What came of a stream: frames as they are, and the data of each channel joined, for how it is cut is nobody's matter. */
interface Read {
  readonly events: string[]
  readonly error: string | undefined
}

function readAll(chunks: readonly Buffer[], { readsPackets = true } = {}): Read {
  const events: string[] = []
  let lastData = ''
  const reader = new FrameReader({
    onFrame: (frame) => {
      lastData = ''
      events.push(`frame ${frame.toString('hex')}`)
    },
    onData: ({ channel, kind }, part) => {
      const head = `${kind} ${channel} `
      if (lastData === head) events.push(`${events.pop() ?? ''}${part.toString('hex')}`)
      else events.push(head + part.toString('hex'))
      lastData = head
    },
  })
  reader.readsPackets = readsPackets
  try {
    for (const chunk of chunks) reader.push(chunk)
    return { events, error: undefined }
  } catch (error) {
    return { events, error: error instanceof Error ? error.message : 'no error' }
  }
}

/** The bytes in pieces: each number is the size of one, over and over. */
function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1
    pieces.push(bytes.subarray(at, at + size))
    at += size
  }
  return pieces
}

const bytesOf = (maxLength: number): fc.Arbitrary<Buffer> => fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes))
const channelNumber = fc.oneof(fc.nat(3), fc.constant(0xffffffff))
const anyFrame = fc.oneof(
  fc.tuple(channelNumber, bytesOf(60)).map(([channel, data]) => dataFrame(channel, data)),
  fc.tuple(channelNumber, fc.nat(3), bytesOf(60)).map(([channel, type, data]) => extendedFrame(channel, type, data)),
  fc.tuple(fc.integer({ min: 80, max: 110 }), bytesOf(40)).filter(([type]) => type !== MESSAGE.data && type !== MESSAGE.extendedData)
    .map(([type, body]) => packetFrame(type, body)),
)
/** What a server may send in place of data: its own idea of how long it is. */
const brokenFrame = fc.tuple(fc.constantFrom(MESSAGE.data, MESSAGE.extendedData), bytesOf(20)).map(([type, body]) => packetFrame(type, body))
const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 8 })

describe('a stream of frames', () => {
  test('means the same however it is cut', () => {
    fc.assert(fc.property(fc.array(anyFrame, { maxLength: 12 }), sizes, (frames, pieces) => {
      const whole = Buffer.concat(frames)
      const { error, events } = readAll(cut(whole, pieces))
      expect(error).toBeUndefined()
      expect(events).toEqual(readAll([whole]).events)
    }), { numRuns: 300 })
  })

  test('means the same however it is cut also where it is broken: what was good of it, and the same complaint', () => {
    fc.assert(fc.property(fc.array(fc.oneof(anyFrame, brokenFrame), { maxLength: 6 }), bytesOf(40), sizes, (frames, noise, pieces) => {
      const whole = Buffer.concat([...frames, noise])
      expect(readAll(cut(whole, pieces))).toEqual(readAll([whole]))
    }), { numRuns: 1000 })
  })

  test('is never complained about but for a length, whatever the bytes are', () => {
    fc.assert(fc.property(bytesOf(400), sizes, fc.boolean(), (noise, pieces, readsPackets) => {
      const { error } = readAll(cut(noise, pieces), { readsPackets })
      expect(error ?? 'a frame of 0 bytes').toMatch(/^a frame of \d+ bytes( with \d+ bytes of data)?$/)
    }), { numRuns: 1000 })
  })

  test('that ends within a frame gives what was whole, and waits', () => {
    const [first, second] = [packetFrame(MESSAGE.eof, uint32(1)), packetFrame(MESSAGE.close, uint32(1))]
    const { events, error } = readAll([Buffer.concat([first, second]).subarray(0, -1)])
    expect(events).toEqual([`frame ${first.subarray(4).toString('hex')}`])
    expect(error).toBeUndefined()
  })

  test('before it has packets has none with data: what looks like one is a frame', () => {
    const looksLikeData = dataFrame(1, Buffer.from('x'))
    expect(readAll([looksLikeData], { readsPackets: false }).events).toEqual([`frame ${looksLikeData.subarray(4).toString('hex')}`])
  })

  test('gives data as soon as it is there, without waiting for the rest of its frame', () => {
    const frame = dataFrame(5, Buffer.from('abcdef'))
    expect(readAll([frame.subarray(0, -4)]).events).toEqual([`stdout 5 ${Buffer.from('ab').toString('hex')}`])
    expect(readAll([frame.subarray(0, -6)]).events).toEqual([])
  })
})

describe('a frame is refused', () => {
  const data = (length: number, claimed: number): Buffer => Buffer.concat([uint32(length), Buffer.from([0, MESSAGE.data]), uint32(1), uint32(claimed), Buffer.alloc(20)])

  test.each<[string, Buffer, RegExp]>([
    ['that is empty', Buffer.concat([uint32(0), Buffer.from([0])]), /^a frame of 0 bytes$/],
    ['of one byte more than the most', Buffer.concat([uint32(MAX_FRAME_BYTES + 1), Buffer.from([0])]), /^a frame of 524289 bytes$/],
    ['of 2^32-1 bytes, before any of it has come', Buffer.concat([uint32(0xffffffff), Buffer.from([0])]), /^a frame of 4294967295 bytes$/],
    ['whose data is longer than it', data(12, 20), /^a frame of 12 bytes with 20 bytes of data$/],
    ['whose data is shorter than it', data(30, 2), /^a frame of 30 bytes with 2 bytes of data$/],
    ['whose data is said to have 2^32-1 bytes', data(12, 0xffffffff), /^a frame of 12 bytes with 4294967295 bytes of data$/],
  ])('%s', (_sentence, bytes, complaint) => {
    expect(readAll([bytes]).error).toMatch(complaint)
  })

  test('by who reads it, not as a frame, where it ends within the head of its data, whatever follows', () => {
    const short = sshString(Buffer.from([0, MESSAGE.data, 0, 0, 0, 1]))
    expect(readAll([Buffer.concat([short, dataFrame(1, Buffer.from('x'))])])).toEqual({ events: [`frame ${short.subarray(4).toString('hex')}`, 'stdout 1 78'], error: undefined })
  })

  test('not where it is as large as may be', () => {
    expect(readAll([sshString(Buffer.concat([Buffer.from([0, MESSAGE.eof]), Buffer.alloc(MAX_FRAME_BYTES - 2)]))]).events).toHaveLength(1)
  })
})

test('what is kept of a frame that is not whole is at most the largest frame, and nothing of data', () => {
  const kept: Buffer[] = []
  const reader = new FrameReader({ onFrame: () => undefined, onData: (_head, part) => void kept.push(part) })
  reader.readsPackets = true
  const frame = dataFrame(1, Buffer.alloc(MAX_FRAME_BYTES - 10, 'x'))
  const pieces = cut(frame, [10_000])
  for (const piece of pieces) {
    const before = kept.length
    reader.push(piece)
    // Each piece leaves as it came: it is not joined to what was there before.
    expect(kept.length).toBe(before + 1)
    expect(kept.at(-1)?.buffer).toBe(piece.buffer)
  }
  expect(Buffer.concat(kept)).toHaveLength(MAX_FRAME_BYTES - 10)
})
