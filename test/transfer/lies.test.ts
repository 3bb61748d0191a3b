import { createHash, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Channel } from '../../src/transport/contract.ts'
import { download } from '../../src/transfer/download.ts'
import { localAccess, sftpServerPath } from './local-access.ts'
import { framed, relayed, typeOf } from './relay.ts'
import { leftovers, scratch } from './scratch.ts'

const READ = 5
const DATA = 103
const sha256 = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex')

/** Changes the content of DATA packets, which begins behind type, id and length. */
const changingData = (change: (data: Buffer) => Buffer) => (channel: Channel) =>
  relayed(channel, {
    onReply: (packet) => {
      if (typeOf(packet) !== DATA) return [packet]
      const data = change(Buffer.from(packet.subarray(9)))
      const length = Buffer.alloc(4)
      length.writeUInt32BE(data.length)
      return [Buffer.concat([packet.subarray(0, 5), length, data])]
    },
  })

describe.skipIf(sftpServerPath === undefined)('download, from a server that lies', () => {
  it('about the size, whichever way, gets the real content', async () => {
    const home = await scratch()
    const content = randomBytes(600_000)
    await writeFile(join(home, 'source'), content)
    for (const lie of [0n, 1n, 599_999n, 600_001n, 6_000_000n]) {
      const wrap = (channel: Channel) =>
        relayed(channel, {
          onReply: (packet) => {
            // ATTRS: type, id, flags, size
            if (typeOf(packet) === 105) packet.writeBigUInt64BE(lie, 9)
            return [packet]
          },
        })
      const receipt = await download(localAccess({ home, wrap }), { remotePath: 'source', localPath: join(home, `target-${lie}`) })
      expect(receipt).toMatchObject({ sizeBytes: 600_000, sha256: sha256(content), verified: true })
    }
  })

  const lies: [string, (channel: Channel) => Channel][] = [
    [
      'by one flipped bit',
      changingData((data) => {
        data.writeUInt8(data.readUInt8(data.length >> 1) ^ 1, data.length >> 1)
        return data
      }),
    ],
    [
      'by an end of file in the middle',
      (channel) => {
        let reads = 0
        return relayed(channel, {
          onReply: (packet) => {
            reads += typeOf(packet) === DATA ? 1 : 0
            if (reads < 2 || typeOf(packet) !== DATA) return [packet]
            return [Buffer.concat([Buffer.from([101]), packet.subarray(1, 5), Buffer.from([0, 0, 0, 1])])]
          },
        })
      },
    ],
  ]
  it.each(lies)('%s is a mismatch, and the old file stays', async (_what, wrap) => {
    const home = await scratch()
    await writeFile(join(home, 'source'), randomBytes(1_000_000))
    await writeFile(join(home, 'target'), 'old')
    const attempt = download(localAccess({ home, wrap }), { remotePath: 'source', localPath: join(home, 'target') })
    await expect(attempt).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' })
    expect(await readFile(join(home, 'target'), 'utf8')).toBe('old')
    expect(await leftovers(home)).toEqual([])
  })

  it('by answers shorter than asked for gets the whole content all the same', async () => {
    const home = await scratch()
    const content = randomBytes(500_000)
    await writeFile(join(home, 'source'), content)
    let turn = 0
    const wrap = changingData((data) => {
      turn += 1
      return data.subarray(0, Math.max(1, (data.length * (turn % 4)) >> 2))
    })
    const receipt = await download(localAccess({ home, wrap }), { remotePath: 'source', localPath: join(home, 'target') })
    expect(receipt).toMatchObject({ sizeBytes: 500_000, sha256: sha256(content), verified: true })
  })

  it('by answers in reverse order gets the whole content all the same', async () => {
    const home = await scratch()
    const content = randomBytes(1_500_000)
    await writeFile(join(home, 'source'), content)
    const wrap = (channel: Channel) => {
      let held: Buffer[] = []
      let expected = 0
      return relayed(channel, {
        onRequest: (packet) => {
          expected += typeOf(packet) === READ ? 1 : 0
          return [packet]
        },
        onReply: (packet) => {
          if (expected === 0) return [packet]
          held.push(packet)
          if (held.length < expected) return []
          const answers = held.reverse()
          held = []
          expected = 0
          return answers
        },
      })
    }
    const receipt = await download(localAccess({ home, wrap }), { remotePath: 'source', localPath: join(home, 'target') })
    expect(receipt).toMatchObject({ sizeBytes: 1_500_000, sha256: sha256(content), verified: true })
  })

  it('or that takes the next request only after it has answered the last, gets the whole content', async () => {
    const home = await scratch()
    const content = randomBytes(1_500_000)
    await writeFile(join(home, 'source'), content)
    const wrap = (channel: Channel) => {
      const waiting: Buffer[] = []
      let isBusy = false
      const forward = (packet: Buffer): void => void channel.stdin.write(framed(packet))
      return relayed(channel, {
        onRequest: (packet) => {
          if (isBusy) waiting.push(packet)
          const passed = isBusy ? [] : [packet]
          isBusy = true
          return passed
        },
        onReply: (packet) => {
          const next = waiting.shift()
          isBusy = next !== undefined
          if (next !== undefined) forward(next)
          return [packet]
        },
      })
    }
    const receipt = await download(localAccess({ home, wrap }), { remotePath: 'source', localPath: join(home, 'target') })
    expect(receipt).toMatchObject({ sizeBytes: 1_500_000, verified: true })
  })
})
