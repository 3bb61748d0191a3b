import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RemexError } from '../../src/core/errors.ts'
import { decodeAttributes, decodeNames, encodeAttributes, fileKind } from '../../src/transfer/sftp/attributes.ts'
import { encodePacket, FieldReader, ID_AT, MAX_PACKET_BYTES, PacketDecoder, text, uint32, uint64 } from '../../src/transfer/sftp/codec.ts'
import { decodeLimits, decodeOffered, decodeSpace } from '../../src/transfer/sftp/extensions.ts'
import { decodeStatus } from '../../src/transfer/sftp/status.ts'
import { framed } from './relay.ts'
import { encodeNames } from './scripted-server.ts'

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array))

/** `stream` in pieces that end where `cuts` say. */
function pieces(stream: Buffer, cuts: readonly number[]): Buffer[] {
  const ends = [...new Set(cuts.map((cut) => cut % (stream.length + 1)))].sort((a, b) => a - b)
  return [...ends, stream.length].map((end, index) => stream.subarray(ends[index - 1] ?? 0, end))
}

describe('PacketDecoder', () => {
  it('gives back the packets that were encoded, however the stream is cut', () => {
    const packets = fc.array(fc.tuple(fc.integer({ min: 0, max: 255 }), bytes(300)), { maxLength: 8 })
    fc.assert(
      fc.property(packets, fc.array(fc.nat(), { maxLength: 40 }), (sent, cuts) => {
        const stream = Buffer.concat(sent.map(([type, body]) => framed(Buffer.concat([Buffer.from([type]), body]))))
        const decoder = new PacketDecoder()
        const received = pieces(stream, cuts).flatMap((piece) => decoder.push(piece))
        expect(received.map((packet) => packet.toString('hex'))).toEqual(
          sent.map(([type, body]) => Buffer.concat([Buffer.from([type]), body]).toString('hex')),
        )
      }),
    )
  })

  it('takes the largest packet that OpenSSH sends, a byte at a time', () => {
    const packet = framed(Buffer.alloc(256 * 1024, 7))
    const decoder = new PacketDecoder()
    const received = Array.from(packet, (byte) => decoder.push(Buffer.from([byte]))).flat()
    expect(received.map((body) => body.length)).toEqual([256 * 1024])
  })

  it.each([
    ['nothing', 0],
    ['one byte more than the most', MAX_PACKET_BYTES + 1],
    ['what the text "SSH-" would be as a length', 0x5353482d],
    ['the most that four bytes can say', 0xffffffff],
  ])('refuses a length of %s at its fourth byte, before anything is kept for it', (_what, length) => {
    const decoder = new PacketDecoder()
    const head = uint32(length)
    expect(decoder.push(head.subarray(0, 3))).toEqual([])
    expect(() => decoder.push(head.subarray(3))).toThrow(expect.objectContaining({ code: 'TRANSFER_FAILED' }))
  })

  it('never throws anything but TRANSFER_FAILED, and returns no more than it was given, for any bytes', () => {
    fc.assert(
      fc.property(fc.array(bytes(64), { maxLength: 20 }), (chunks) => {
        const decoder = new PacketDecoder()
        let given = 0
        let returned = 0
        try {
          for (const chunk of chunks) {
            given += chunk.length
            for (const packet of decoder.push(chunk)) returned += packet.length
          }
        } catch (error) {
          expect(error).toMatchObject({ code: 'TRANSFER_FAILED' })
        }
        expect(returned).toBeLessThanOrEqual(given)
      }),
    )
  })
})

describe('field decoders', () => {
  const decoders: [string, (fields: FieldReader) => unknown][] = [
    ['attributes', decodeAttributes],
    ['names', decodeNames],
    ['a status', decodeStatus],
    ['limits', decodeLimits],
    ['free space', decodeSpace],
    ['offered extensions', decodeOffered],
    ['a string', (fields) => fields.text()],
  ]
  it.each(decoders)('for %s end with a value or TRANSFER_FAILED on any bytes', (_what, decode) => {
    fc.assert(
      fc.property(bytes(200), (packet) => {
        try {
          decode(new FieldReader(packet))
        } catch (error) {
          expect(error).toBeInstanceOf(RemexError)
          expect(error).toMatchObject({ code: 'TRANSFER_FAILED' })
        }
      }),
      { numRuns: 500 },
    )
  })

  it('are not kept busy or made to grow by a count that lies', () => {
    const lie = Buffer.concat([uint32(0xffffffff), encodeNames([{ name: Buffer.from('a'), attributes: {} }]).subarray(4)])
    expect(() => decodeNames(new FieldReader(lie))).toThrow(expect.objectContaining({ code: 'TRANSFER_FAILED' }))
    const extended = Buffer.concat([uint32(0x80000000), uint32(0xffffffff)])
    expect(() => decodeAttributes(new FieldReader(extended))).toThrow(expect.objectContaining({ code: 'TRANSFER_FAILED' }))
  })

  it('read attributes as they were encoded', () => {
    const uint = fc.nat({ max: 0xffffffff })
    const attributes = fc.tuple(
      fc.option(fc.record({ sizeBytes: fc.maxSafeNat() }), { nil: {} }),
      fc.option(fc.record({ uid: uint, gid: uint }), { nil: {} }),
      fc.option(fc.record({ mode: uint }), { nil: {} }),
      fc.option(fc.record({ atime: uint, mtime: uint }), { nil: {} }),
    )
    fc.assert(
      fc.property(attributes, ([size, owner, mode, times]) => {
        const sent = { ...size, ...owner, ...mode, ...times }
        expect(decodeAttributes(new FieldReader(encodePacket(0, encodeAttributes(sent)).subarray(ID_AT)))).toEqual(sent)
      }),
    )
  })

  it.each([
    ['before 1970', -1, 0],
    ['after 2106', 2 ** 33, 2 ** 32 - 1],
    ['within a second', 1.9, 1],
    ['that is none', Number.NaN, 0],
  ])('say the nearest that 32 bits can, of a time %s', (_what, given, said) => {
    const fields = new FieldReader(encodePacket(0, encodeAttributes({ atime: given, mtime: given })).subarray(ID_AT))
    expect(decodeAttributes(fields)).toEqual({ atime: said, mtime: said })
  })

  it('read names as any bytes', () => {
    fc.assert(
      fc.property(fc.array(bytes(40), { maxLength: 5 }), (names) => {
        const entries = decodeNames(new FieldReader(encodeNames(names.map((name) => ({ name, attributes: { mode: 0o100644 } })))))
        expect(entries.map(({ name }) => name.toString('hex'))).toEqual(names.map((name) => name.toString('hex')))
      }),
    )
  })

  it('accept a status without words, as old servers send it', () => {
    expect(decodeStatus(new FieldReader(uint32(4)))).toEqual({ code: 4, message: '' })
  })

  it('keep sizes beyond 2^53 as numbers, which are only hints', () => {
    expect(new FieldReader(Buffer.alloc(8, 0xff)).uint64()).toBe(2 ** 64)
    expect(new FieldReader(uint64(2 ** 53)).uint64()).toBe(2 ** 53)
  })

  it.each([
    ['a regular file', 0o100644, 'file'],
    ['a directory', 0o040755, 'directory'],
    ['a symbolic link', 0o120777, 'symlink'],
    ['a pipe', 0o010644, 'other'],
    ['a character device', 0o020666, 'other'],
    ['a socket', 0o140755, 'other'],
    ['permission bits without a type', 0o644, 'unknown'],
    ['nothing', undefined, 'unknown'],
  ])('tell %s by its mode', (_what, mode, kind) => {
    expect(fileKind({ mode })).toBe(kind)
  })

  it.each([
    ['what OpenSSH says', [262144, 261120, 261120, 1019], [261120, 261120, 1000]],
    ['no limit at all', [0, 0, 0, 0], [261120, 261120, 128]],
    ['more than is sensible', [2 ** 53, 2 ** 53, 2 ** 53, 2 ** 60], [261120, 261120, 1000]],
    ['next to nothing', [1, 1, 1, 1], [1024, 1024, 1]],
    ['a packet smaller than what it may carry', [34000, 0, 65536, 4], [33723, 33723, 4]],
  ])('bound the limits when a server tells %s', (_what, said, [maxReadBytes, maxWriteBytes, maxHandles]) => {
    expect(decodeLimits(new FieldReader(Buffer.concat(said.map(uint64))))).toEqual({ maxReadBytes, maxWriteBytes, maxHandles })
  })

  it('do not take a file system that counts no files for one that is full', () => {
    const btrfs = [4096, 4096, 1000, 600, 500, 0, 0, 0, 1, 0, 255]
    expect(decodeSpace(new FieldReader(Buffer.concat(btrfs.map(uint64))))).toEqual({
      freeBytes: 500 * 4096,
      totalBytes: 1000 * 4096,
      freeFiles: Infinity,
    })
  })

  it('leave the length-prefixed form as the draft has it', () => {
    expect(text('ab')).toEqual(Buffer.from([0, 0, 0, 2, 0x61, 0x62]))
  })
})
