import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ifWhole, leadingStrings, mpintBits, sshString, TruncatedError, uint32, WireReader } from '../../src/core/ssh-wire.ts'

const anyBytes = fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes))
const anyNumber = fc.nat(0xffffffff)

function uint64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}

describe('values of SSH', () => {
  it('are read as they were written', () => {
    const anyLong = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
    fc.assert(fc.property(anyNumber, anyLong, fc.string({ unit: 'grapheme' }), anyBytes, fc.nat(255), (number, long, text, bytes, byte) => {
      const reader = new WireReader(Buffer.concat([uint32(number), uint64(long), sshString(text), sshString(bytes), Buffer.of(byte)]))
      expect([reader.uint32(), reader.uint64(), reader.text(), reader.string(), reader.isAtEnd, reader.byte(), reader.isAtEnd]).toEqual([number, long, text, bytes, false, byte, true])
    }))
  })

  it('are the bytes of RFC 4251', () => {
    expect(sshString('testing').toString('hex')).toBe('00000007' + '74657374696e67')
    expect(sshString('ü')).toEqual(Buffer.of(0, 0, 0, 2, 0xc3, 0xbc))
    expect(uint32(699_921_578).toString('hex')).toBe('29b7f4aa')
  })

  it('are numbers of 32 bits: what is larger loses what does not fit, and does not throw', () => {
    expect([uint32(2 ** 32 - 1), uint32(-1), uint32(2 ** 32)].map((bytes) => bytes.readUInt32BE(0))).toEqual([2 ** 32 - 1, 2 ** 32 - 1, 0])
  })

  it('that are not all there are an end that comes too early, whatever a length says', () => {
    fc.assert(fc.property(anyNumber, anyBytes, (length, bytes) => {
      const reader = new WireReader(Buffer.concat([uint32(length), bytes]))
      if (length > bytes.length) expect(() => reader.string()).toThrow(TruncatedError)
      else expect(reader.string()).toEqual(bytes.subarray(0, length))
    }))
  })

  it.each<[string, number, (reader: WireReader) => unknown]>([
    ['byte', 0, (reader) => reader.byte()],
    ['uint32', 3, (reader) => reader.uint32()],
    ['uint64', 7, (reader) => reader.uint64()],
    ['length of a string', 3, (reader) => reader.string()],
    ['string of several', 4, (reader) => reader.strings(2)],
  ])('end too early within a %s', (_, byteCount, read) => {
    expect(() => read(new WireReader(Buffer.alloc(byteCount)))).toThrow(TruncatedError)
  })

  it('may be taken as they are, several strings at once', () => {
    const [first, second, third] = ['one', '', 'three'].map(sshString) as [Buffer, Buffer, Buffer]
    const reader = new WireReader(Buffer.concat([first, second, third]))
    expect([reader.strings(0), reader.strings(2), reader.text()]).toEqual([Buffer.alloc(0), Buffer.concat([first, second]), 'three'])
  })
})

describe('a reading that may end too early', () => {
  it('is what was read, or undefined', () => {
    expect(ifWhole(() => new WireReader(sshString('all')).text())).toBe('all')
    expect(ifWhole(() => new WireReader(sshString('all').subarray(0, 6)).text())).toBeUndefined()
  })

  it('hides no other error', () => {
    const fault = new TypeError('a fault')
    expect(() => ifWhole(() => { throw fault })).toThrow(fault)
  })
})

describe('the strings at the beginning', () => {
  it('are those that are whole, as many as are wanted', () => {
    fc.assert(fc.property(fc.array(anyBytes, { maxLength: 6 }), fc.nat(7), fc.nat(200), (strings, most, cut) => {
      const bytes = Buffer.concat(strings.map(sshString))
      const left = bytes.subarray(0, bytes.length - Math.min(cut, bytes.length))
      const wholeBytes = (count: number): number => Buffer.concat(strings.slice(0, count).map(sshString)).length
      const wholeCount = strings.filter((_, index) => wholeBytes(index + 1) <= left.length).length
      expect(leadingStrings(left, most)).toEqual(strings.slice(0, Math.min(most, wholeCount)))
    }))
  })
})

describe('the size of a number', () => {
  it.each([
    ['', 0],
    ['0000', 0],
    ['01', 1],
    ['0080', 8],
    ['7fff', 15],
    ['00ffff', 16],
  ])('of the bytes "%s" is %d bits', (hex, bits) => {
    expect(mpintBits(Buffer.from(hex, 'hex'))).toBe(bits)
  })
})
