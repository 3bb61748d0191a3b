import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sshString, TruncatedError, uint32, WireReader } from '../../src/core/ssh-wire.ts'
import { dataHead, frame, frameHead, MESSAGE, readMessage, requestFrame } from '../../src/transport/openssh/mux/messages.ts'
import { ptyRequest } from '../../src/transport/openssh/mux/pty.ts'

const anyBytes = fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes))
/** A frame without its length, as a reader gets it. */
const content = (type: number, ...parts: readonly Buffer[]): Buffer => frame(type, ...parts).subarray(4)

describe('a message', () => {
  const body = Buffer.concat([uint32(3), uint32(9), uint32(1000), uint32(2000)])

  test.each<[string, Buffer, unknown]>([
    ['confirmed', content(MESSAGE.openConfirmation, body), { kind: 'confirmed', remoteId: 9, window: 1000, maxPacket: 2000 }],
    ['refused', content(MESSAGE.openFailure, uint32(3), uint32(2), sshString('no'), sshString('')), { kind: 'refused', reason: 2, text: 'no' }],
    ['adjust', content(MESSAGE.windowAdjust, uint32(3), uint32(0xffffffff)), { kind: 'adjust', bytes: 0xffffffff }],
    ['eof', content(MESSAGE.eof, uint32(3)), { kind: 'eof' }],
    ['close', content(MESSAGE.close, uint32(3)), { kind: 'close' }],
    ['success', content(MESSAGE.success, uint32(3)), { kind: 'success' }],
    ['failure', content(MESSAGE.failure, uint32(3)), { kind: 'failure' }],
    ['request', content(MESSAGE.request, uint32(3), sshString('exit-status'), Buffer.from([0]), uint32(4)), { kind: 'request', name: 'exit-status', wantsReply: false }],
    ['request that wants a reply by a number other than 1', content(MESSAGE.request, uint32(3), sshString('x'), Buffer.from([255])), { kind: 'request', name: 'x', wantsReply: true }],
  ])('of kind %s is read with its channel', (_kind, bytes, message) => {
    expect(readMessage(bytes)).toMatchObject({ channel: 3, message })
  })

  test('may have more than is known of it', () => {
    expect(readMessage(content(MESSAGE.eof, uint32(3), Buffer.from('more')))).toEqual({ channel: 3, message: { kind: 'eof' } })
  })

  test('of no kind that is for us is passed over', () => {
    for (const type of [0, 1, 20, 80, MESSAGE.open, 101, 192, 255]) expect(readMessage(content(type))).toBeUndefined()
    expect(readMessage(content(MESSAGE.data, uint32(3), sshString('x')))).toBeUndefined()
  })

  test('that ends too early, wherever, is no message', () => {
    const whole = [
      content(MESSAGE.openConfirmation, body),
      content(MESSAGE.openFailure, uint32(3), uint32(2), sshString('no')),
      content(MESSAGE.windowAdjust, uint32(3), uint32(1)),
      content(MESSAGE.eof, uint32(3)),
      content(MESSAGE.request, uint32(3), sshString('exit-status'), Buffer.from([0])),
      content(MESSAGE.data, uint32(3), uint32(0)),
      content(MESSAGE.extendedData, uint32(3), uint32(1), uint32(0)),
    ]
    for (const bytes of whole) {
      for (let end = 0; end < bytes.length; end++) expect(() => readMessage(bytes.subarray(0, end))).toThrow(TruncatedError)
    }
  })

  test('is read, passed over or ends too early, whatever the bytes are', () => {
    fc.assert(fc.property(fc.integer({ min: 88, max: 102 }), anyBytes, (type, bytes) => {
      try {
        expect(readMessage(content(type, bytes))?.channel ?? 0).toBeGreaterThanOrEqual(0)
      } catch (error) {
        expect(error).toBeInstanceOf(TruncatedError)
      }
    }), { numRuns: 1000 })
  })
})

describe('the head of data', () => {
  test('tells where the data goes and how much it is', () => {
    const data = Buffer.from('data')
    expect(dataHead(content(MESSAGE.data, uint32(3), sshString(data)))).toEqual({ channel: 3, kind: 'stdout', headBytes: 10, dataBytes: 4 })
    expect(dataHead(content(MESSAGE.extendedData, uint32(3), uint32(1), sshString(data)))).toEqual({ channel: 3, kind: 'stderr', headBytes: 14, dataBytes: 4 })
    expect(dataHead(content(MESSAGE.extendedData, uint32(3), uint32(2), sshString(data)))).toEqual({ channel: 3, kind: 'discard', headBytes: 14, dataBytes: 4 })
  })

  test('is none before all of it is there, and for what is no data', () => {
    const heads = [content(MESSAGE.data, uint32(3), uint32(9)), content(MESSAGE.extendedData, uint32(3), uint32(1), uint32(9))]
    for (const bytes of heads) {
      for (let end = 0; end < bytes.length; end++) expect(dataHead(bytes.subarray(0, end))).toBeUndefined()
      expect(dataHead(bytes)?.dataBytes).toBe(9)
    }
    expect(dataHead(content(MESSAGE.request, Buffer.alloc(20)))).toBeUndefined()
  })

  test('never throws', () => {
    fc.assert(fc.property(anyBytes, (bytes) => { expect(() => dataHead(bytes)).not.toThrow() }))
  })
})

describe('a frame that we send', () => {
  test('has its length, a byte for no padding, and its type before its parts', () => {
    expect(frame(MESSAGE.eof, uint32(5)).toString('hex')).toBe('00000006' + '0060' + '00000005')
    const head = frameHead(MESSAGE.data, { before: 8, length: 12 })
    expect(head).toHaveLength(14)
    expect(head.subarray(0, 6).toString('hex')).toBe('0000000e' + '005e')
  })

  test('with a request is read as it was written', () => {
    const bytes = requestFrame(5, 'exec', { wantsReply: true, rest: sshString('echo ü') })
    const found = readMessage(bytes.subarray(4))
    expect(found).toMatchObject({ channel: 5, message: { kind: 'request', name: 'exec', wantsReply: true } })
    if (found?.message.kind === 'request') expect(found.message.rest.text()).toBe('echo ü')
    expect(requestFrame(5, 'signal', { wantsReply: false }).at(-1)).toBe(0)
  })
})

describe('the request for a terminal', () => {
  function read(rest: Buffer): { term: string; numbers: number[]; modes: string } {
    const reader = new WireReader(rest)
    const term = reader.text()
    const numbers = [reader.uint32(), reader.uint32(), reader.uint32(), reader.uint32()]
    return { term, numbers, modes: reader.string().toString('hex') }
  }

  test('has the terminal of an xterm of 80 by 24 by default, with the modes of the server', () => {
    expect(read(ptyRequest({}))).toEqual({ term: 'xterm-256color', numbers: [80, 24, 0, 0], modes: '00' })
  })

  test('has what is asked for; modes that SSH does not have, or only JavaScript has, are left out', () => {
    const modes = { ECHO: 0, TTY_OP_OSPEED: 38_400, NONESUCH: 1, constructor: 1, toString: 1 }
    expect(read(ptyRequest({ term: 'vt220', columns: 132, rows: 50, modes }))).toEqual({
      term: 'vt220', numbers: [132, 50, 0, 0], modes: '35' + '00000000' + '81' + '00009600' + '00',
    })
  })
})
