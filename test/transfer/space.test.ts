import { randomBytes } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Channel } from '../../src/transport/contract.ts'
import { download } from '../../src/transfer/download.ts'
import { PacketType, uint64 } from '../../src/transfer/sftp/codec.ts'
import { upload } from '../../src/transfer/upload.ts'
import { localAccess, sftpServerPath } from './local-access.ts'
import { relayed, statusReply, typeOf } from './relay.ts'
import { leftovers, scratch } from './scratch.ts'

/** A file system of 1 MiB at `home/small`; false where this machine does not let us mount one. */
async function mountSmall(home: string): Promise<boolean> {
  const directory = join(home, 'small')
  await mkdir(directory)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'remex-test', directory], { stdio: 'ignore' })
  } catch {
    return false
  }
  onTestFinished(() => void execFileSync('umount', [directory]))
  return true
}

const NOT_MOUNTABLE = 'no file system may be mounted here'

/** Refuses the second write, and tells of `freeBytes` and `freeFiles` when asked. */
const failingWrites = (freeBytes: number, freeFiles: number) => (channel: Channel) => {
  let writes = 0
  return relayed(channel, {
    onRequest: (packet, relay) => {
      writes += typeOf(packet) === PacketType.WRITE ? 1 : 0
      if (typeOf(packet) !== PacketType.WRITE || writes < 2) return [packet]
      relay.reply(statusReply(packet, 4))
      return []
    },
    onReply: (packet) => {
      // The reply to limits@openssh.com has four numbers, that to statvfs@openssh.com eleven.
      if (typeOf(packet) !== PacketType.EXTENDED_REPLY || packet.length < 5 + 88) return [packet]
      const space = [1, 1, 1_000_000, freeBytes, freeBytes, 1000, freeFiles, freeFiles, 0, 0, 255].map(uint64)
      return [Buffer.concat([packet.subarray(0, 5), ...space])]
    },
  })
}

describe.skipIf(sftpServerPath === undefined)('a full disk', () => {
  it('of the host is NO_SPACE naming the directory; the old file stays and no temporary file does', async ({ skip }) => {
    const home = await scratch()
    if (!(await mountSmall(home))) skip(NOT_MOUNTABLE)
    await writeFile(join(home, 'small/target'), 'old')
    const attempt = upload(localAccess({ home }), { data: randomBytes(3_000_000), remotePath: 'small/target' })
    await expect(attempt).rejects.toMatchObject({ code: 'NO_SPACE', vmId: 'vm01', message: expect.stringContaining(join(home, 'small')) })
    expect(await readFile(join(home, 'small/target'), 'utf8')).toBe('old')
    expect(await leftovers(join(home, 'small'))).toEqual([])
    await upload(localAccess({ home }), { data: randomBytes(900_000), remotePath: 'small/target' })
  })

  it('of this machine is NO_SPACE; the old file stays and no temporary file does', async ({ skip }) => {
    const home = await scratch()
    if (!(await mountSmall(home))) skip(NOT_MOUNTABLE)
    await writeFile(join(home, 'small/target'), 'old')
    await writeFile(join(home, 'source'), randomBytes(3_000_000))
    const attempt = download(localAccess({ home }), { remotePath: 'source', localPath: join(home, 'small/target') })
    await expect(attempt).rejects.toMatchObject({ code: 'NO_SPACE', message: expect.stringContaining('do not fit in the local') })
    expect(await readFile(join(home, 'small/target'), 'utf8')).toBe('old')
    expect(await leftovers(join(home, 'small'))).toEqual([])
  })

  const told: [string, number, number, string][] = [
    ['no bytes free', 0, 100, 'NO_SPACE'],
    ['a few bytes free', 4096, 100, 'NO_SPACE'],
    ['less free than is missing', 300_000, 100, 'NO_SPACE'],
    ['no more files to be made', 10_000_000, 0, 'NO_SPACE'],
    ['enough of everything', 10_000_000, 100, 'TRANSFER_FAILED'],
  ]
  it.each(told)('is told from another failure by the free space: a host with %s', async (_what, freeBytes, freeFiles, code) => {
    const home = await scratch()
    await writeFile(join(home, 'target'), 'old')
    const access = localAccess({ home, wrap: failingWrites(freeBytes, freeFiles) })
    await expect(upload(access, { data: randomBytes(900_000), remotePath: 'target' })).rejects.toMatchObject({ code })
    expect(await readFile(join(home, 'target'), 'utf8')).toBe('old')
    expect(await leftovers(home)).toEqual([])
  })

  it('cannot be told on a host without statvfs, which gives the server’s own words', async () => {
    const home = await scratch()
    const access = localAccess({ home, wrap: failingWrites(0, 0), serverFlags: ['-P', 'statvfs'] })
    await expect(upload(access, { data: randomBytes(900_000), remotePath: 'target' })).rejects.toMatchObject({
      code: 'TRANSFER_FAILED',
      message: expect.stringContaining('failure'),
    })
  })

  it('is not what a limit on the size of files is: that one is TRANSFER_FAILED, at the byte where it strikes', async () => {
    const home = await scratch()
    await writeFile(join(home, 'target'), 'old')
    const access = localAccess({ home, beforeServer: "trap '' XFSZ; ulimit -f 1000" })
    await expect(upload(access, { data: randomBytes(900_000), remotePath: 'target' })).rejects.toMatchObject({ code: 'TRANSFER_FAILED' })
    expect(await readFile(join(home, 'target'), 'utf8')).toBe('old')
    expect(await leftovers(home)).toEqual([])
  })
})
