import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Transcript } from '../../src/transport/ssh2/transcript.ts'

function kexInit(lists: readonly string[]): Buffer {
  const strings = lists.map((list) => Buffer.concat([uint32(list.length), Buffer.from(list)]))
  const payload = Buffer.concat([Buffer.from([20]), Buffer.alloc(16), ...strings, Buffer.alloc(5)])
  return packet(payload)
}

function packet(payload: Buffer): Buffer {
  return Buffer.concat([uint32(payload.length + 1 + 4), Buffer.from([4]), payload, Buffer.alloc(4)])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function transcriptOf(...chunks: readonly (string | Buffer)[]): Transcript {
  const transcript = new Transcript()
  for (const chunk of chunks) transcript.add(Buffer.from(chunk))
  return transcript
}

const LISTS = ['k1,k2', 'h1', 'c1', 'c1,c2', 'm1', 'm2', 'none', 'none', '', '']
const OFFER = { kex: ['k1', 'k2'], hostKey: ['h1'], cipher: ['c1', 'c2'], mac: ['m1', 'm2'] }

describe('a transcript', () => {
  test.each([
    ['knows the identification', ['SSH-2.0-Server_1 comment\r\n'], 'SSH-2.0-Server_1 comment', ''],
    ['knows it without a carriage return', ['SSH-2.0-Server_1\n'], 'SSH-2.0-Server_1', ''],
    ['knows it behind lines of text', ['hello\r\nSSH-2.0-S\r\n'], 'SSH-2.0-S', 'hello'],
    ['does not take a part of it for it', ['SSH-2.0-Ser'], undefined, 'SSH-2.0-Ser'],
    ['does not find it within a line', ['not SSH-2.0-S\r\n'], undefined, 'not SSH-2.0-S'],
    ['keeps what a web server says', ['HTTP/1.1 400 Bad Request\r\n\r\n'], undefined, 'HTTP/1.1 400 Bad Request'],
  ])('%s', (_name, chunks, identification, greeting) => {
    const transcript = transcriptOf(...chunks)
    expect([transcript.identification, transcript.greeting]).toEqual([identification, greeting])
  })

  test('reads what the server offers, however it is cut into chunks', () => {
    const whole = Buffer.concat([Buffer.from('SSH-2.0-S\r\n'), packet(Buffer.from([2, 0])), kexInit(LISTS)])
    for (let at = 1; at < whole.length; at += 7) {
      expect(transcriptOf(whole.subarray(0, at), whole.subarray(at)).offer).toEqual(OFFER)
    }
  })

  test('has no offer before all of it has come', () => {
    const whole = Buffer.concat([Buffer.from('SSH-2.0-S\r\n'), kexInit(LISTS)])
    expect(transcriptOf(whole.subarray(0, -1)).offer).toBeUndefined()
  })

  test('keeps at most 64 KiB and nothing after its end', () => {
    const transcript = transcriptOf(Buffer.alloc(100_000, 'x'), 'SSH-2.0-late\n')
    expect(transcript.identification).toBeUndefined()
    expect(transcript.greeting).toHaveLength(200)
    const finished = transcriptOf('one')
    finished.finish()
    finished.add(Buffer.from('\nSSH-2.0-S\n'))
    expect(finished.identification).toBeUndefined()
  })

  test('survives whatever a server sends', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const transcript = transcriptOf('SSH-2.0-S\r\n', Buffer.from(bytes))
      expect(() => transcript.offer).not.toThrow()
      expect(transcript.identification).toBe('SSH-2.0-S')
    }))
  })
})
