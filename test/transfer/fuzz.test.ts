import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RemexError } from '../../src/core/errors.ts'
import { readAll } from '../../src/transfer/pipeline.ts'
import { encodeAttributes } from '../../src/transfer/sftp/attributes.ts'
import { OpenFlag, SftpClient } from '../../src/transfer/sftp/client.ts'
import { encodePacket, FieldReader, ID_AT, MAX_PACKET_BYTES, PacketDecoder, PacketType, text, uint32, uint64 } from '../../src/transfer/sftp/codec.ts'
import { until } from '../../testkit/until.ts'
import { framed, typeOf } from './relay.ts'
import { encodeNames, scriptedChannel, status } from './scripted-server.ts'
import type { ScriptedServer } from './scripted-server.ts'

const VERSION = framed(
  Buffer.concat([Buffer.from([2]), uint32(3), ...['posix-rename@openssh.com', '1', 'statvfs@openssh.com', '2', 'limits@openssh.com', '1'].map(text)]),
)
const ATTRIBUTES = encodePacket(0, encodeAttributes({ sizeBytes: 5, uid: 1, gid: 2, mode: 0o100644, atime: 3, mtime: 4 })).subarray(ID_AT)
const LIMITS = Buffer.concat([262144, 261120, 261120, 1019].map(uint64))

/** What an honest server answers, by the type of the request. */
const HONEST = new Map<number, readonly [number, Buffer]>([
  [PacketType.OPEN, [PacketType.HANDLE, text('handle')]],
  [PacketType.OPENDIR, [PacketType.HANDLE, text('directory')]],
  [PacketType.READDIR, [PacketType.NAME, encodeNames(['.', '..', 'name'].map((name) => ({ name: Buffer.from(name), attributes: { mode: 0o40755 } })))]],
  [PacketType.READLINK, [PacketType.NAME, encodeNames([{ name: Buffer.from('points'), attributes: {} }])]],
  [PacketType.REALPATH, [PacketType.NAME, encodeNames([{ name: Buffer.from('/real'), attributes: {} }])]],
  [PacketType.STAT, [PacketType.ATTRS, ATTRIBUTES]],
  [PacketType.LSTAT, [PacketType.ATTRS, ATTRIBUTES]],
  [PacketType.FSTAT, [PacketType.ATTRS, ATTRIBUTES]],
])

const CONTENT = Buffer.from('some content, to be read in several pieces')

function honestRead(request: Buffer): readonly [number, Buffer] {
  const fields = new FieldReader(request.subarray(5))
  const [, offset, lengthBytes] = [fields.text(), fields.uint64(), fields.uint32()]
  const data = CONTENT.subarray(offset, offset + Math.min(lengthBytes, 20))
  return data.length === 0 ? [PacketType.STATUS, status(1)] : [PacketType.DATA, text(data)]
}

function honestAnswer(request: Buffer): Buffer {
  const isLimits = typeOf(request) === PacketType.EXTENDED && request.includes('limits@')
  const isSpace = typeOf(request) === PacketType.EXTENDED && request.includes('statvfs@')
  const extended: readonly [number, Buffer] | undefined = isLimits
    ? [PacketType.EXTENDED_REPLY, LIMITS]
    : isSpace
      ? [PacketType.EXTENDED_REPLY, Buffer.alloc(88, 1)]
      : undefined
  const plain = typeOf(request) === PacketType.READ ? honestRead(request) : HONEST.get(typeOf(request))
  const [type, fields] = extended ?? plain ?? [PacketType.STATUS, status(0, 'fine')]
  return framed(Buffer.concat([Buffer.from([type]), request.subarray(1, 5), fields]))
}

/** Everything that the client can be asked, at once. */
function everything(client: SftpClient): Promise<unknown>[] {
  const file = { handle: Buffer.from('handle'), path: Buffer.from('file') }
  const drain = async (): Promise<number> => {
    let byteCount = 0
    // A server may go on for ever without breaking the protocol; whoever reads decides how much he takes.
    for await (const chunk of readAll(client, file, 100)) if ((byteCount += chunk.length) > 10_000) break
    return byteCount
  }
  return [
    client.open('file', OpenFlag.READ),
    client.opendir('directory'),
    client.read(file, 0, 12),
    drain(),
    client.write(file, 0, Buffer.alloc(40_000)),
    client.readdir(file),
    client.readlink('link'),
    client.realpath('.'),
    client.stat('file'),
    client.lstat('file'),
    client.fstat(file),
    client.statvfs('.'),
    client.fsetstat(file, { mode: 0o600 }),
    client.posixRename('a', 'b'),
    client.remove('file'),
    client.close(file),
  ]
}

/** Every outcome is a value or an error of ours; anything else is thrown here. */
function assertHonest(outcomes: readonly PromiseSettledResult<unknown>[]): void {
  for (const outcome of outcomes) if (outcome.status === 'rejected' && !(outcome.reason instanceof RemexError)) throw outcome.reason
}

/** `stream` in pieces that end where `cuts` say, each in a turn of its own or not. */
function sendCut(server: ScriptedServer, stream: Buffer, cuts: readonly number[]): void {
  const ends = [...new Set(cuts.map((cut) => cut % (stream.length + 1)))].sort((a, b) => a - b)
  for (const [index, end] of [...ends, stream.length].entries()) server.raw(stream.subarray(ends[index - 1] ?? 0, end))
}

const cuts = fc.array(fc.nat(), { maxLength: 12 })

/** Something between the honest answers and the client. Positions count modulo what there is. */
type Mutation = (answers: readonly Buffer[]) => readonly Buffer[]

/** Changes one answer, a copy of it, where there is one that is long enough. */
const changing = (change: (answer: Buffer, position: number) => Buffer) => (packet: number, position: number): Mutation => (answers) =>
  answers.map((answer, index) => {
    if (index !== packet % answers.length || answer.length < 9) return answer
    return change(Buffer.from(answer), position)
  })

const bitFlipped = changing((answer, position) => {
  const byte = (position >>> 3) % answer.length
  answer.writeUInt8(answer.readUInt8(byte) ^ (1 << (position & 7)), byte)
  return answer
})
const cutOff = changing((answer, position) => answer.subarray(0, position % answer.length))
const idChanged = changing((answer, id) => overwritten(answer, uint32(id), ID_AT))
const lengthChanged = changing((answer, length) => overwritten(answer, uint32(length), 0))
const typeChanged = changing((answer, type) => overwritten(answer, Buffer.from([type]), 4))
const doubled = changing((answer) => Buffer.concat([answer, answer]))
const leftOut = changing(() => Buffer.alloc(0))
const preceded = changing((answer, junk) => Buffer.concat([uint32(junk).subarray(junk % 4), answer]))
const reversed: Mutation = (answers) => answers.toReversed()

function overwritten(answer: Buffer, bytes: Buffer, position: number): Buffer {
  bytes.copy(answer, position)
  return answer
}

const uint = fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: 0xffffffff }))

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  ...[bitFlipped, cutOff, idChanged, lengthChanged, typeChanged, doubled, leftOut, preceded].map((mutate) =>
    fc.tuple(fc.nat(), uint).map(([packet, position]) => mutate(packet, position)),
  ),
  fc.tuple(fc.nat(), fc.constantFrom(...Object.values(PacketType))).map(([packet, type]) => typeChanged(packet, type)),
  fc.constant(reversed),
)

/** Answers the requests of each turn together, those of the first turns altered; hangs up when it has not been asked for a while. */
function mutatingServer(mutations: readonly Mutation[], cutAt: readonly number[]): (request: Buffer, server: ScriptedServer) => void {
  let answers: Buffer[] = []
  let turns = 0
  let idleTurns = 0
  const work = (server: ScriptedServer): void => {
    idleTurns = answers.length === 0 ? idleTurns + 1 : 0
    if (answers.length > 0) {
      const said = mutations[turns]?.(answers) ?? answers
      turns += 1
      answers = []
      sendCut(server, Buffer.concat(said), cutAt)
    }
    if (idleTurns === 10) server.hangUp()
    else setImmediate(work, server)
  }
  let isWorking = false
  return (request, server) => {
    answers.push(honestAnswer(request))
    if (!isWorking) setImmediate(work, server)
    isWorking = true
  }
}

describe('an SFTP client, whatever the server sends,', () => {
  it('settles all that it is asked, with a value or an error of its own, on any bytes in any pieces', async () => {
    const stream = fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 10 })
    await fc.assert(
      fc.asyncProperty(stream, fc.boolean(), async (chunks, greets) => {
        const channel = scriptedChannel((request, server) => {
          if (typeOf(request) === PacketType.INIT && greets) return server.raw(VERSION)
          if (typeOf(request) === PacketType.EXTENDED && greets && request.includes('limits@')) return server.raw(honestAnswer(request))
          for (const chunk of chunks.splice(0)) server.raw(Buffer.from(chunk))
          setImmediate(() => server.hangUp())
        }, false)
        const [opened] = await Promise.allSettled([SftpClient.open(channel, { vmId: 'vm01' })])
        assertHonest([opened])
        if (opened.status === 'fulfilled') assertHonest(await Promise.allSettled(everything(opened.value)))
        await channel.closed
      }),
      { numRuns: 1000 },
    )
  })

  it('settles all that it is asked when valid answers are altered, cut, left out, doubled, swapped or mixed with others', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 4 }), cuts, async (mutations, cutAt) => {
        let hasGreeted = false
        const answer = mutatingServer(mutations, cutAt)
        const channel = scriptedChannel((request, server) => {
          if (typeOf(request) === PacketType.INIT) return server.raw(VERSION)
          if (hasGreeted) return answer(request, server)
          hasGreeted = true
          server.raw(honestAnswer(request))
        }, false)
        const client = await SftpClient.open(channel, { vmId: 'vm01' })
        assertHonest(await Promise.allSettled(everything(client)))
        client.end()
        await channel.closed
      }),
      { numRuns: 2000 },
    )
  })

  it('comes to its end when the greeting is altered', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 3 }), cuts, async (mutations, cutAt) => {
        const said = mutations.reduce<readonly Buffer[]>((answers, mutate) => mutate(answers), [VERSION])
        const channel = scriptedChannel((request, server) => {
          if (typeOf(request) !== PacketType.INIT) return server.raw(honestAnswer(request))
          sendCut(server, Buffer.concat(said), cutAt)
          setImmediate(() => setImmediate(() => server.hangUp()))
        }, false)
        const [opened] = await Promise.allSettled([SftpClient.open(channel, { vmId: 'vm01' })])
        assertHonest([opened])
        if (opened.status === 'fulfilled') opened.value.end()
        await channel.closed
      }),
      { numRuns: 500 },
    )
  })

  it('answers honest streams in full, however they are cut: the altered ones above begin as valid', async () => {
    await fc.assert(
      fc.asyncProperty(cuts, async (cutAt) => {
        const channel = scriptedChannel((request, server) => {
          sendCut(server, typeOf(request) === PacketType.INIT ? VERSION : honestAnswer(request), cutAt)
        }, false)
        const client = await SftpClient.open(channel, { vmId: 'vm01' })
        const outcomes = await Promise.allSettled(everything(client))
        expect(outcomes.filter(({ status: how }) => how === 'rejected')).toEqual([])
        client.end()
      }),
      { numRuns: 200 },
    )
  })

  it('holds nothing of what comes after the server has broken the protocol', async () => {
    const flood = Buffer.alloc(1024 * 1024, 0xff)
    const before = heldBytes()
    const channel = scriptedChannel((_request, server) => {
      for (let megabyte = 0; megabyte < 100; megabyte += 1) server.raw(Buffer.from(flood))
    })
    const client = await SftpClient.open(channel, { vmId: 'vm01' })
    await expect(client.stat('x')).rejects.toMatchObject({ code: 'TRANSFER_FAILED' })
    await until(() => heldBytes() - before < 4 * flood.length, { what: 'the flood to be let go' })
    expect(client.isEnded).toBe(true)
  })
})

/** Bytes of Buffers that something still refers to. */
function heldBytes(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc()')
  return process.memoryUsage().arrayBuffers
}

describe('a packet decoder', () => {
  it('holds one packet at most, of the most that a packet may be, however many there were and whatever is announced', async () => {
    const decoder = new PacketDecoder()
    const before = heldBytes()
    const chunk = Buffer.alloc(10_000)
    let packets = 0
    for (let round = 0; round < 200; round += 1) {
      decoder.push(uint32(MAX_PACKET_BYTES))
      for (let left = MAX_PACKET_BYTES; left > 0; left -= chunk.length) packets += decoder.push(chunk.subarray(0, left)).length
    }
    expect(packets).toBe(200)
    decoder.push(uint32(MAX_PACKET_BYTES))
    decoder.push(chunk)
    // What is collected is given back by a thread of its own.
    await until(() => heldBytes() - before < 2 * MAX_PACKET_BYTES, { what: 'no more than a packet to be held' })
    expect(decoder.push(Buffer.alloc(MAX_PACKET_BYTES - chunk.length))).toHaveLength(1)
  })
})
