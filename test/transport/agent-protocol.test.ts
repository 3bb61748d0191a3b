import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { sshString, uint32 } from '../../src/core/ssh-wire.ts'
import {
  AgentMessage, encodeIdentities, encodeMessage, framed, MAX_MESSAGE_BYTES, MessageDecoder, readExtensionName, readIdentities, readSignRequest,
} from '../../src/transport/openssh/agent-protocol.ts'

const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array))
const message = fc.uint8Array({ minLength: 1, maxLength: 200 }).map((array) => Buffer.from(array))

/** `stream` in pieces of these sizes, over and over. */
function pieces(stream: Buffer, sizes: readonly number[]): Buffer[] {
  const cut: Buffer[] = []
  for (let at = 0; at < stream.length; at += cut.at(-1)?.length ?? 0) cut.push(stream.subarray(at, at + (sizes[cut.length % sizes.length] ?? 1)))
  return cut
}

describe('messages on a socket', () => {
  it('come out as they went in, however they were cut on the way', () => {
    fc.assert(fc.property(fc.array(message), fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }), (messages, sizes) => {
      const decoder = new MessageDecoder()
      const received = pieces(Buffer.concat(messages.map(framed)), sizes).flatMap((piece) => decoder.push(piece))
      expect(received).toEqual(messages)
    }))
  })

  it('are never made of bytes that were not sent, whatever is sent', () => {
    fc.assert(fc.property(fc.array(fc.oneof(bytes, message.map(framed))), (chunks) => {
      const decoder = new MessageDecoder()
      const received: Buffer[] = []
      for (const chunk of chunks) {
        const messages = decoder.push(chunk)
        if (!messages) return
        received.push(...messages)
      }
      const sent = Buffer.concat(chunks)
      expect(sent.subarray(0, Buffer.concat(received.map(framed)).length)).toEqual(Buffer.concat(received.map(framed)))
    }))
  })

  it.each([
    ['of the greatest length are taken', MAX_MESSAGE_BYTES, []],
    ['of one byte more are refused by their length alone', MAX_MESSAGE_BYTES + 1, undefined],
    ['of an endless length are refused', 0xffffffff, undefined],
    ['of no length are refused, for they have no type', 0, undefined],
  ])('%s', (_sentence, length, expected) => {
    expect(new MessageDecoder().push(uint32(length))).toEqual(expected)
  })

  it('of the greatest length come out in time when they come byte by byte', () => {
    const decoder = new MessageDecoder()
    const [last, ...others] = pieces(framed(Buffer.alloc(MAX_MESSAGE_BYTES, 1)), [1]).reverse()
    expect(others.reverse().every((piece) => decoder.push(piece)?.length === 0)).toBe(true)
    expect(decoder.push(last ?? Buffer.alloc(0))?.[0]?.length).toBe(MAX_MESSAGE_BYTES)
  })
})

const listed = fc.array(fc.record({ blob: bytes, comment: fc.string() }))

describe('a list of keys', () => {
  it('is read back as it was written', () => {
    fc.assert(fc.property(listed, (keys) => {
      expect(readIdentities(encodeIdentities(keys))).toEqual(keys)
    }))
  })

  it.each<[string, Buffer]>([
    ['that says it has more keys than it has', encodeMessage(AgentMessage.IDENTITIES_ANSWER, uint32(0xffffffff), sshString('blob'), sshString('comment'))],
    ['that goes on after its last key', Buffer.concat([encodeIdentities([]), Buffer.of(0)])],
    ['without a count', encodeMessage(AgentMessage.IDENTITIES_ANSWER)],
    ['that is a refusal', encodeMessage(AgentMessage.FAILURE)],
  ])('%s is none', (_sentence, content) => {
    expect(readIdentities(content)).toBeUndefined()
  })
})

describe('a request to sign', () => {
  const request = encodeMessage(AgentMessage.SIGN_REQUEST, sshString('key'), sshString('data'), uint32(2))

  it('has key, data and flags', () => {
    expect(readSignRequest(request)).toEqual({ blob: Buffer.from('key'), data: Buffer.from('data'), flags: 2 })
  })

  it('is none when it is cut off anywhere, or goes on after its end', () => {
    for (let end = 0; end < request.length; end++) expect(readSignRequest(request.subarray(0, end))).toBeUndefined()
    expect(readSignRequest(Buffer.concat([request, Buffer.of(0)]))).toBeUndefined()
  })
})

describe('an extension', () => {
  it('has a name, whatever follows it', () => {
    expect(readExtensionName(encodeMessage(AgentMessage.EXTENSION, sshString('query'), Buffer.from('more')))).toBe('query')
    expect(readExtensionName(encodeMessage(AgentMessage.EXTENSION, uint32(9), Buffer.from('query')))).toBeUndefined()
  })
})

it('nothing that is read makes a reader throw', () => {
  const typed = fc.tuple(fc.constantFrom(...Object.values(AgentMessage)), bytes).map(([type, rest]) => encodeMessage(type, rest))
  fc.assert(fc.property(fc.oneof(bytes, typed), (content) => {
    for (const read of [readIdentities, readSignRequest, readExtensionName]) expect(() => read(content)).not.toThrow()
  }))
})
