import { createHash, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { remexError } from '../../src/core/errors.ts'
import type { TransferAccess } from '../../src/transfer/access.ts'
import { download } from '../../src/transfer/download.ts'
import { upload } from '../../src/transfer/upload.ts'
import type { Channel } from '../../src/transport/contract.ts'
import { localAccess, sftpServerPath } from './local-access.ts'
import { leftovers, scratch } from './scratch.ts'

const DATA = randomBytes(24 * 1024 * 1024 + 77)
const SHA256 = createHash('sha256').update(DATA).digest('hex')

/** A channel whose answers take their time, as over a long way; their order stays. */
function late(channel: Channel, delayMs: number): Channel {
  const stdout = new PassThrough()
  channel.stdout.on('data', (chunk: Buffer) => setTimeout(() => stdout.write(chunk), delayMs))
  channel.stdout.once('end', () => setTimeout(() => stdout.end(), delayMs))
  return { ...channel, stdout }
}

/** A host far away; `onChannel` may change the n-th SFTP channel, or refuse it. */
function farAway(home: string, onChannel: (channel: Channel, count: number) => Channel = (channel) => channel): TransferAccess & { readonly opened: { count: number } } {
  const near = localAccess({ home })
  const opened = { count: 0 }
  return { ...near, opened, sftp: async () => onChannel(late(await near.sftp(), 40), ++opened.count) }
}

describe.skipIf(sftpServerPath === undefined).each(['upload', 'download'] as const)('over a long way the %s of a large file', (direction) => {
  const move = (access: TransferAccess, home: string): Promise<unknown> => {
    const [source, target] = [join(home, 'source'), join(home, 'target')]
    return direction === 'upload' ? upload(access, { localPath: source, remotePath: target }) : download(access, { remotePath: source, localPath: target })
  }

  it('uses several channels, and arrives whole', async () => {
    const home = await scratch()
    await writeFile(join(home, 'source'), DATA)
    const access = farAway(home)
    expect(await move(access, home)).toMatchObject({ sizeBytes: DATA.length, sha256: SHA256, verified: true })
    expect((await readFile(join(home, 'target'))).equals(DATA)).toBe(true)
    expect(access.opened.count).toBeGreaterThan(2)
  })

  it('does with one where the host refuses more', async () => {
    const home = await scratch()
    await writeFile(join(home, 'source'), DATA)
    const access = farAway(home, (channel, count) => {
      if (count === 1) return channel
      channel.close()
      throw remexError('CHANNEL_REFUSED', 'no more sessions')
    })
    expect(await move(access, home)).toMatchObject({ sha256: SHA256, verified: true })
  })

  it('fails as a whole when one of its channels breaks, and leaves nothing', async () => {
    const home = await scratch()
    await writeFile(join(home, 'source'), DATA)
    await writeFile(join(home, 'target'), 'old')
    const access = farAway(home, (channel, count) => {
      if (count !== 2) return channel
      const seen = { bytes: 0 }
      const cutAt = direction === 'upload' ? 2_000 : 1_000_000
      channel.stdout.on('data', (chunk: Buffer) => {
        seen.bytes += chunk.length
        if (seen.bytes > cutAt) channel.close()
      })
      return channel
    })
    const failure = await move(access, home).then(() => undefined, (error: unknown) => error)
    // On the way up the second channel may have too little to do to reach its end.
    if (failure !== undefined) expect(failure).toMatchObject({ code: 'CONNECTION_LOST' })
    expect(await readFile(join(home, 'target'), 'latin1')).toBe(failure === undefined ? DATA.toString('latin1') : 'old')
    expect(await leftovers(home)).toEqual([])
  })
})

describe.skipIf(sftpServerPath === undefined)('a small file', () => {
  it('goes by one channel, however long the way', async () => {
    const home = await scratch()
    await writeFile(join(home, 'source'), 'x')
    const access = farAway(home)
    await upload(access, { localPath: join(home, 'source'), remotePath: join(home, 'target') })
    expect(access.opened.count).toBe(1)
  })
})
