import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { download } from '../../src/transfer/download.ts'
import { transfer } from '../../src/transfer/transfer.ts'
import { Manifest } from '../../src/transfer/tree/manifest.ts'
import { emptyTally } from '../../src/transfer/tree/move-tree.ts'
import { upload } from '../../src/transfer/upload.ts'
import { localAccess, sftpServerPath, type LocalHost } from './local-access.ts'
import { relayed, statusReply, typeOf } from './relay.ts'
import { leftovers, scratch } from './scratch.ts'

const INIT = 1

/** A server that refuses every request which comes before it has answered the last; `seen` counts these. */
function oneAtATime(seen: { refused: number }): LocalHost['wrap'] {
  return (channel) => {
    const busy = { count: 0 }
    return relayed(channel, {
      onRequest: (packet, relay) => {
        if (busy.count > 0 && typeOf(packet) !== INIT) {
          seen.refused++
          relay.reply(statusReply(packet, 4))
          return []
        }
        busy.count++
        return [packet]
      },
      onReply: (packet) => {
        busy.count--
        return [packet]
      },
    })
  }
}

describe.skipIf(sftpServerPath === undefined)('a server that refuses a second request beside the first', () => {
  it('still gets a file and gives it, only slower', async () => {
    const home = await scratch()
    const data = randomBytes(3_000_000)
    await writeFile(join(home, 'source'), data)
    const seen = { refused: 0 }
    const access = localAccess({ home, wrap: oneAtATime(seen) })
    const sha256 = createHash('sha256').update(data).digest('hex')
    expect(await upload(access, { localPath: join(home, 'source'), remotePath: join(home, 'there') })).toMatchObject({ sha256, verified: true })
    expect(await download(access, { remotePath: join(home, 'there'), localPath: join(home, 'back') })).toMatchObject({ sha256, verified: true })
    expect((await readFile(join(home, 'back'))).equals(data)).toBe(true)
    expect(await leftovers(home)).toEqual([])
    expect(seen.refused).toBeGreaterThan(0)
    expect(seen.refused).toBeLessThan(20)
  })

  it.each(['upload', 'download'] as const)('still takes part in the %s of a tree', async (operation) => {
    const home = await scratch()
    await mkdir(join(home, 'from/sub'), { recursive: true })
    for (let index = 0; index < 30; index++) await writeFile(join(home, `from/sub/f${index}`), `content ${index}`)
    await writeFile(join(home, 'from/big'), randomBytes(2_000_000))
    const [manifest, tally] = [new Manifest(), emptyTally()]
    const ends = operation === 'upload' ? { local: join(home, 'from'), remote: join(home, 'to') } : { local: join(home, 'to'), remote: join(home, 'from') }
    await transfer(localAccess({ home, wrap: oneAtATime({ refused: 0 }) }), { operation, ...ends, tree: { manifest, tally } })
    expect(manifest.size).toBe(31)
    expect(await readFile(join(home, 'to/sub/f7'), 'utf8')).toBe('content 7')
  })

  it('is told from one that fails: what is refused alone is refused', async () => {
    const home = await scratch()
    await writeFile(join(home, 'source'), randomBytes(1_000_000))
    const wrap: LocalHost['wrap'] = (channel) =>
      relayed(channel, {
        onRequest: (packet, relay) => {
          if (typeOf(packet) !== 6) return [packet]
          relay.reply(statusReply(packet, 4))
          return []
        },
      })
    await expect(upload(localAccess({ home, wrap }), { localPath: join(home, 'source'), remotePath: join(home, 'there') })).rejects.toMatchObject({ code: 'TRANSFER_FAILED' })
    expect(await leftovers(home)).toEqual([])
  })
})
