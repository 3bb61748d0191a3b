import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { readAll, writeAll } from '../../src/transfer/pipeline.ts'
import type { ByteSource } from '../../src/transfer/pipeline.ts'
import { OpenFlag, SftpClient } from '../../src/transfer/sftp/client.ts'
import type { RemoteFile } from '../../src/transfer/sftp/client.ts'
import { FieldReader, PacketDecoder, PacketType } from '../../src/transfer/sftp/codec.ts'
import type { Channel } from '../../src/transport/contract.ts'
import { typeOf } from './relay.ts'
import { recorded, scriptedChannel, serveFile, status } from './scripted-server.ts'
import type { ScriptedServer } from './scripted-server.ts'

const SSH_PACKET_BYTES = 32 * 1024

type Script = (request: Buffer, server: ScriptedServer) => void

const answerAll: Script = (request, server) => serveFile({ content: Buffer.alloc(0) }, request, server)

const connect = async (channel: Channel, options: { maxOutstanding?: number } = {}): Promise<SftpClient> => {
  const client = await SftpClient.open(channel, { vmId: 'vm01', ...options })
  onTestFinished(() => client.end())
  return client
}

const openRecorded = async (script: Script): Promise<{ client: SftpClient; written: Buffer[] }> => {
  const { channel, written } = recorded(scriptedChannel(script))
  const client = await connect(channel)
  written.length = 0
  return { client, written }
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

describe('requests', () => {
  it('that are asked in one turn of the event loop go out in one write', async () => {
    const { client, written } = await openRecorded(answerAll)
    await Promise.all(Array.from({ length: 100 }, (_, index) => client.posixRename(`a${index}`, `b${index}`)))
    expect(written).toHaveLength(1)
  })

  it('that follow from answers which came together go out in one write too', async () => {
    const held: Buffer[] = []
    const { client, written } = await openRecorded((request, server) => {
      held.push(request)
      if (held.length < 50) return
      const answers = held.splice(0).map((one) => Buffer.concat([Buffer.from([0, 0, 0, 21, 101]), one.subarray(1, 5), status(0)]))
      for (const answer of answers) answer.writeUInt32BE(answer.length - 4)
      server.raw(Buffer.concat(answers))
    })
    const twice = async (): Promise<void> => {
      await client.rmdir('one')
      await client.rmdir('two')
    }
    await Promise.all(Array.from({ length: 50 }, twice))
    expect(written).toHaveLength(2)
  })

  it('with little content go out in one write, and beyond the SSH packet of their head content is not copied', async () => {
    const { client, written } = await openRecorded(answerAll)
    const file = await client.open('file', OpenFlag.WRITE)
    written.length = 0
    await Promise.all(Array.from({ length: 20 }, (_, index) => client.write(file, index * 2048, Buffer.alloc(2048))))
    expect(written).toHaveLength(1)
    written.length = 0
    const large = Buffer.alloc(255 * 1024)
    await client.write(file, 0, large)
    expect(written.map((chunk) => chunk.length)).toEqual([SSH_PACKET_BYTES, large.length + 26 - SSH_PACKET_BYTES])
    expect(written[1]?.buffer).toBe(large.buffer)
  })

  it('arrive in the order in which they were asked, whatever their sizes', async () => {
    const sizes = fc.array(fc.oneof(fc.nat({ max: 100 }), fc.nat({ max: 150_000 })), { minLength: 1, maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(sizes, fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }), async (lengths, pauses) => {
        const { client, written } = await openRecorded(answerAll)
        const file = await client.open('file', OpenFlag.WRITE)
        written.length = 0
        const asked: Promise<void>[] = []
        for (const [index, length] of lengths.entries()) {
          asked.push(client.write(file, index, Buffer.alloc(length, index)))
          if (pauses[index]) await turn()
        }
        await Promise.all(asked)
        const arrived = new PacketDecoder().push(Buffer.concat(written)).map((packet) => {
          const fields = new FieldReader(packet.subarray(5))
          const [, offset, data] = [fields.text(), fields.uint64(), fields.text()]
          return { offset, isWhole: data.equals(Buffer.alloc(lengths[offset] ?? -1, offset)) }
        })
        expect(arrived).toEqual(lengths.map((_length, offset) => ({ offset, isWhole: true })))
        client.end()
      }),
      { numRuns: 60 },
    )
  })

  it('that nobody waits for are sent before the connection is ended in the same turn', async () => {
    const seen: number[] = []
    const { client } = await openRecorded((request) => void seen.push(typeOf(request)))
    const removed = client.remove('left behind')
    client.end()
    await expect(removed).rejects.toMatchObject({ code: 'CANCELLED' })
    expect(seen).toEqual([PacketType.REMOVE])
  })
})

/** A server that puts off its answers: `take` gets each, and gives it back when it pleases. */
const deferring = (file: { content: Buffer }, take: (answer: () => void) => void): Channel =>
  scriptedChannel((request, server) => take(() => serveFile(file, request, server)))

const oneByOne = (): ((answer: () => void) => void) => {
  const queue: (() => void)[] = []
  const next = (): void => {
    queue[0]?.()
    queue.shift()
    if (queue.length > 0) setImmediate(next)
  }
  return (answer) => {
    if (queue.push(answer) === 1) setImmediate(next)
  }
}

const shuffled = (): ((answer: () => void) => void) => {
  const held: (() => void)[] = []
  const release = (): void => {
    const [answer] = held.splice(Math.floor(Math.random() * held.length), 1)
    answer?.()
    if (held.length > 0) setImmediate(release)
  }
  return (answer) => {
    if (held.push(answer) === 1) setImmediate(release)
  }
}

const collect = async (client: SftpClient, file: RemoteFile, wanted: Parameters<typeof readAll>[2]): Promise<Buffer> => {
  const chunks: Buffer[] = []
  for await (const chunk of readAll(client, file, wanted)) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}

const sourceOf = (content: Buffer, mostBytes = Infinity): ByteSource => {
  let at = 0
  return {
    read: async (into) => {
      const count = content.copy(into, 0, at, at + Math.min(into.length, mostBytes))
      at += count
      return count
    },
  }
}

const send = async (client: SftpClient, content: Buffer, more: { startBytes?: number; windowBytes?: number; mostBytes?: number } = {}): Promise<Buffer> => {
  const file = await client.open('file', OpenFlag.WRITE)
  const seen: Buffer[] = []
  let acknowledged = 0
  await writeAll(client, file, {
    source: sourceOf(content, more.mostBytes),
    onChunk: (chunk) => void seen.push(Buffer.from(chunk)),
    onAcknowledged: (byteCount) => void (acknowledged += byteCount),
    ...more,
  })
  expect(acknowledged).toBe(content.length)
  return Buffer.concat(seen)
}

describe('a server', () => {
  const servers: [string, () => (answer: () => void) => void][] = [
    ['that answers at once', () => (answer) => answer()],
    ['that answers one request at a time, each in a turn of its own', oneByOne],
    ['that answers in any order', shuffled],
  ]
  it.each(servers)('%s gets and gives the whole content', async (_what, order) => {
    const content = randomBytes(1_200_000)
    const up = { content: Buffer.alloc(0) }
    expect((await send(await connect(deferring(up, order())), content)).equals(content)).toBe(true)
    expect(up.content.equals(content)).toBe(true)
    const client = await connect(deferring({ content }, order()))
    const file = await client.open('file', OpenFlag.READ)
    for (const expectedBytes of [content.length, 0, 1, content.length - 1, content.length + 1, 10 * content.length]) {
      expect((await collect(client, file, expectedBytes)).equals(content)).toBe(true)
    }
  })

  /** Fails whatever comes before it has answered the last. */
  const refusing = (file: { content: Buffer }): Channel => {
    let isBusy = false
    return scriptedChannel((request, server) => {
      if (isBusy) return server.answer(request, PacketType.STATUS, status(4, 'busy'))
      isBusy = true
      setImmediate(() => {
        isBusy = false
        serveFile(file, request, server)
      })
    })
  }

  it('that refuses a second request before it has answered the first is found out, and served one by one', async () => {
    const content = randomBytes(300_000)
    const plain = await connect(refusing({ content }))
    expect((await collect(plain, await plain.open('file', OpenFlag.READ), content.length)).equals(content)).toBe(true)
    const written = { content: Buffer.alloc(0) }
    await send(await connect(refusing(written)), content)
    expect(written.content.equals(content)).toBe(true)
    const patient = await connect(refusing({ content }), { maxOutstanding: 1 })
    expect((await collect(patient, await patient.open('file', OpenFlag.READ), content.length)).equals(content)).toBe(true)
    const up = { content: Buffer.alloc(0) }
    await send(await connect(refusing(up), { maxOutstanding: 1 }), content)
    expect(up.content.equals(content)).toBe(true)
  })
})

describe('readAll and writeAll', () => {
  it('begin where they are told', async () => {
    const content = randomBytes(400_000)
    const client = await connect(deferring({ content }, (answer) => answer()))
    const file = await client.open('file', OpenFlag.READ)
    expect((await collect(client, file, { expectedBytes: content.length, startBytes: 123_456 })).equals(content.subarray(123_456))).toBe(true)
    expect(await collect(client, file, { expectedBytes: 10, startBytes: content.length })).toHaveLength(0)
    const up = { content: content.subarray(0, 100_000) }
    await send(await connect(deferring(up, (answer) => answer())), content.subarray(100_000), { startBytes: 100_000 })
    expect(up.content.equals(content)).toBe(true)
  })

  it.each([
    ['the default', undefined, 4 * 1024 * 1024],
    ['a megabyte', 1024 * 1024, 1024 * 1024],
    ['less than two requests of the usual size', 40_000, 40_000],
    ['less than anything sensible', 1, 8192],
  ])('have no more under way than the window says, with %s', async (_what, windowBytes, mostBytes) => {
    const content = Buffer.alloc(Math.min(6_000_000, mostBytes * 4), 7)
    const held: { answer: () => void; byteCount: number }[] = []
    let most = 0
    const file = { content }
    const channel = scriptedChannel((request, server) => {
      const type = typeOf(request)
      // Behind type, id, the handle 'h' and the offset.
      const byteCount = type === PacketType.READ || type === PacketType.WRITE ? request.readUInt32BE(18) : 0
      if (held.push({ answer: () => serveFile(file, request, server), byteCount }) === 1) setImmediate(release)
      most = Math.max(most, held.reduce((sum, one) => sum + one.byteCount, 0))
    })
    const release = (): void => {
      held.shift()?.answer()
      if (held.length > 0) setImmediate(release)
    }
    const client = await connect(channel)
    await send(client, content, { windowBytes })
    expect(most).toBeLessThanOrEqual(mostBytes)
    expect(most).toBeGreaterThan(mostBytes / 4)
    most = 0
    const remote = await client.open('file', OpenFlag.READ)
    await collect(client, remote, { expectedBytes: content.length, windowBytes })
    expect(most).toBeLessThanOrEqual(mostBytes)
    expect(most).toBeGreaterThan(mostBytes / 4)
  })

  it('take a source that gives less than there is room for', async () => {
    const content = randomBytes(200_000)
    const up = { content: Buffer.alloc(0) }
    await send(await connect(deferring(up, (answer) => answer())), content, { mostBytes: 777 })
    expect(up.content.equals(content)).toBe(true)
  })

  it('reject with the failure that comes first in the file, though a later one is told before', async () => {
    const client = await connect(
      scriptedChannel((request, server) => {
        if (typeOf(request) !== PacketType.WRITE) return answerAll(request, server)
        const offset = Number(request.readBigUInt64BE(10))
        const refuse = (): void => server.answer(request, PacketType.STATUS, status(4, `refused at ${offset}`))
        if (offset === 0) setImmediate(() => setImmediate(refuse))
        else refuse()
      }),
    )
    await expect(send(client, randomBytes(500_000))).rejects.toMatchObject({ message: 'vm01: cannot write file: refused at 0' })
  })
})
