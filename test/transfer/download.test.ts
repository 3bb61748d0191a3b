import { createHash, randomBytes } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { appendFileSync, truncateSync } from 'node:fs'
import { chmod, mkdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Channel } from '../../src/transport/contract.ts'
import { download } from '../../src/transfer/download.ts'
import { localAccess, sftpServerPath } from './local-access.ts'
import { relayed, typeOf } from './relay.ts'
import { leftovers, scratch } from './scratch.ts'

const READ = 5
const sha256 = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex')
const isRoot = process.getuid?.() === 0

/** Does `change` once, when the first read is on its way. */
const atFirstRead = (change: () => void) => (channel: Channel) => {
  let isDone = false
  return relayed(channel, {
    onRequest: (packet) => {
      if (typeOf(packet) === READ && !isDone) change()
      isDone ||= typeOf(packet) === READ
      return [packet]
    },
  })
}

describe.skipIf(sftpServerPath === undefined)('download, against the real sftp-server', () => {
  it('fetches a file of many chunks and returns a verified receipt', async () => {
    const home = await scratch()
    const content = randomBytes(3_000_000)
    await writeFile(join(home, 'source.bin'), content, { mode: 0o640 })
    const seen: [number, number | undefined][] = []
    const receipt = await download(localAccess({ home }), {
      remotePath: 'source.bin',
      localPath: join(home, 'target.bin'),
      onProgress: (done, total) => seen.push([done, total]),
    })
    expect(receipt).toEqual({
      vmId: 'vm01',
      direction: 'download',
      local: join(home, 'target.bin'),
      remote: join(home, 'source.bin'),
      sizeBytes: content.length,
      sha256: sha256(content),
      verified: true,
      mode: 0o640,
      resumedFromBytes: 0,
      isUnchanged: false,
    })
    expect(content.equals(await readFile(join(home, 'target.bin')))).toBe(true)
    expect(seen.at(-1)).toEqual([content.length, content.length])
    expect(await leftovers(home)).toEqual([])
  })

  const sizes = [0, 1, 32 * 1024 - 1, 32 * 1024, 255 * 1024 - 1, 255 * 1024, 255 * 1024 + 1]
  it.each(sizes)('fetches a file of %d bytes, whatever chunk it ends in', async (sizeBytes) => {
    const home = await scratch()
    const content = randomBytes(sizeBytes)
    await writeFile(join(home, 'source'), content)
    for (const serverFlags of [[], ['-P', 'limits']]) {
      const receipt = await download(localAccess({ home, serverFlags }), { remotePath: 'source', localPath: join(home, 'target') })
      expect(receipt).toMatchObject({ sizeBytes, sha256: sha256(content), verified: true })
      expect(content.equals(await readFile(join(home, 'target')))).toBe(true)
    }
  })

  it('reads a file of /proc, which says it is empty, to its end', async () => {
    const home = await scratch()
    const receipt = await download(localAccess({ home }), { remotePath: '/proc/version', localPath: join(home, 'version') })
    expect(receipt).toMatchObject({ verified: true, mode: 0o444 })
    expect(receipt.sizeBytes).toBeGreaterThan(0)
    expect(await readFile(join(home, 'version'))).toEqual(await readFile('/proc/version'))
  })

  it('calls a file of /proc that is another at each reading a mismatch, not verified, and says what to do', async () => {
    const home = await scratch()
    await writeFile(join(home, 'target'), 'old')
    const attempt = download(localAccess({ home }), { remotePath: '/proc/sys/kernel/random/uuid', localPath: join(home, 'target') })
    const hint: unknown = expect.stringContaining('files of /proc')
    await expect(attempt).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH', retryable: true, hint })
    expect(await readFile(join(home, 'target'), 'utf8')).toBe('old')
  })

  it('does not touch the local file when there is none on the host', async () => {
    const home = await scratch()
    await writeFile(join(home, 'target'), 'old')
    const before = await stat(join(home, 'target'), { bigint: true })
    const attempt = download(localAccess({ home }), { remotePath: 'missing', localPath: join(home, 'target') })
    await expect(attempt).rejects.toMatchObject({ code: 'REMOTE_NOT_FOUND', message: expect.stringContaining('missing') })
    const after = await stat(join(home, 'target'), { bigint: true })
    expect([after.ino, after.mtimeNs, after.ctimeNs]).toEqual([before.ino, before.mtimeNs, before.ctimeNs])
    expect(await readFile(join(home, 'target'), 'utf8')).toBe('old')
  })

  it('makes no local file when there is none on the host', async () => {
    const home = await scratch()
    await expect(download(localAccess({ home }), { remotePath: 'missing', localPath: join(home, 'new') })).rejects.toThrow()
    await expect(stat(join(home, 'new'))).rejects.toMatchObject({ code: 'ENOENT' })
    expect(await leftovers(home)).toEqual([])
  })

  describe('mode', () => {
    const cases: [string, { given?: number; existing?: number; source?: number }, number][] = [
      ['is the given one', { given: 0o604, existing: 0o600, source: 0o644 }, 0o604],
      ['may be one that the owner cannot read', { given: 0o000 }, 0o000],
      ['is that of the file which is replaced, so that a secret stays one', { existing: 0o600, source: 0o644 }, 0o600],
      ['is that of a read-only source', { source: 0o400 }, 0o400],
      ['is without the set-user-id bit that the host gave it', { source: 0o4700 }, 0o700],
    ]
    it.each(cases)('%s', async (_what, { given, existing, source = 0o600 }, expected) => {
      const home = await scratch()
      await writeFile(join(home, 'source'), 'new')
      await chmod(join(home, 'source'), source)
      if (existing !== undefined) await writeFile(join(home, 'target'), 'old').then(() => chmod(join(home, 'target'), existing))
      const receipt = await download(localAccess({ home }), { remotePath: 'source', localPath: join(home, 'target'), mode: given })
      expect(receipt.mode).toBe(expected)
      expect((await stat(join(home, 'target'))).mode & 0o7777).toBe(expected)
    })

    it('is that of the source less our umask', async () => {
      const home = await scratch()
      await writeFile(join(home, 'source'), 'new')
      await chmod(join(home, 'source'), 0o666)
      await writeFile(join(home, 'probe'), '', { mode: 0o666 })
      const receipt = await download(localAccess({ home }), { remotePath: 'source', localPath: join(home, 'target') })
      expect(receipt.mode).toBe((await stat(join(home, 'probe'))).mode & 0o777)
    })
  })

  describe('target', () => {
    it('that is a directory gets the file under its name on the host', async () => {
      const home = await scratch()
      await mkdir(join(home, 'into'))
      await mkdir(join(home, 'deep'))
      await writeFile(join(home, 'deep/source'), 'new')
      const receipt = await download(localAccess({ home }), { remotePath: 'deep/source', localPath: join(home, 'into/') })
      expect(receipt.local).toBe(join(home, 'into/source'))
      expect(await readFile(join(home, 'into/source'), 'utf8')).toBe('new')
    })

    it('that is a symbolic link stays one, and what it points at is replaced', async () => {
      const home = await scratch()
      await writeFile(join(home, 'source'), 'new')
      await writeFile(join(home, 'real'), 'old')
      await symlink('real', join(home, 'link'))
      await download(localAccess({ home }), { remotePath: 'source', localPath: join(home, 'link') })
      expect(await readlink(join(home, 'link'))).toBe('real')
      expect(await readFile(join(home, 'real'), 'utf8')).toBe('new')
    })

    it('in a directory that has gone while the file was read is LOCAL_NOT_FOUND', async () => {
      const home = await scratch()
      await mkdir(join(home, 'into'))
      await writeFile(join(home, 'source'), 'new')
      const wrap = (channel: Channel) =>
        relayed(channel, {
          onRequest: (packet) => {
            if (typeOf(packet) === 3) execFileSync('rmdir', [join(home, 'into')])
            return [packet]
          },
        })
      const attempt = download(localAccess({ home, wrap }), { remotePath: 'source', localPath: join(home, 'into/target') })
      await expect(attempt).rejects.toMatchObject({ code: 'LOCAL_NOT_FOUND' })
    })

    const refused: [string, string, string, RegExp][] = [
      ['in a directory that is not there', 'missing/target', 'LOCAL_NOT_FOUND', /directory .*\/missing is not there/],
      ['with a slash at the end that is no directory', 'missing/', 'LOCAL_NOT_FOUND', /missing\/ is not there/],
      ['below a file', 'file/target', 'LOCAL_NOT_FOUND', /is not there/],
      ['that has a directory where the file would go', 'into', 'TRANSFER_FAILED', /into\/source is a directory/],
      ['that is a pipe', 'pipe', 'TRANSFER_FAILED', /pipe is not a regular file/],
      ['that is a symbolic link to nothing', 'dangling', 'TRANSFER_FAILED', /symbolic link to nothing/],
      ['with a NUL in its name', 'a\0b', 'USAGE', /NUL/],
    ]
    it.each(refused)('%s is refused before the host is asked', async (_what, name, code, words) => {
      const home = await scratch()
      await mkdir(join(home, 'into/source'), { recursive: true })
      execFileSync('mkfifo', [join(home, 'pipe')])
      await symlink('nowhere', join(home, 'dangling'))
      await writeFile(join(home, 'file'), '')
      await writeFile(join(home, 'source'), 'new')
      const access = { ...localAccess({ home }), sftp: () => Promise.reject(new Error('must not be asked')) }
      const attempt = download(access, { remotePath: 'source', localPath: `${home}/${name}` })
      await expect(attempt).rejects.toMatchObject({ code, message: expect.stringMatching(words) })
      expect(await leftovers(home)).toEqual([])
    })

    it('in a directory that is not writable is PERMISSION_DENIED', async ({ skip }) => {
      skip(isRoot, 'root may write everywhere')
      const home = await scratch()
      await mkdir(join(home, 'closed'), { mode: 0o500 })
      await writeFile(join(home, 'source'), 'x')
      const attempt = download(localAccess({ home }), { remotePath: 'source', localPath: join(home, 'closed/target') })
      await expect(attempt).rejects.toMatchObject({ code: 'PERMISSION_DENIED', message: expect.stringContaining('closed') })
    })
  })

  describe('source', () => {
    const refused: [string, string, string][] = [
      ['is a directory', '.', 'USAGE'],
      ['is a pipe that nobody writes to', 'pipe', 'USAGE'],
      ['is a device without an end', '/dev/zero', 'USAGE'],
      ['is below a file', 'file/source', 'REMOTE_NOT_FOUND'],
      ['is a symbolic link to nothing', 'dangling', 'REMOTE_NOT_FOUND'],
      ['has an empty name', '', 'USAGE'],
    ]
    it.each(refused)('that %s is refused, and nothing is made here', async (_what, remotePath, code) => {
      const home = await scratch()
      execFileSync('mkfifo', [join(home, 'pipe')])
      await symlink('nowhere', join(home, 'dangling'))
      await writeFile(join(home, 'file'), '')
      const attempt = download(localAccess({ home }), { remotePath, localPath: join(home, 'target') })
      await expect(attempt).rejects.toMatchObject({ code })
      await expect(stat(join(home, 'target'))).rejects.toMatchObject({ code: 'ENOENT' })
      expect(await leftovers(home)).toEqual([])
    })

    it('that may not be read is PERMISSION_DENIED', async ({ skip }) => {
      skip(isRoot, 'root may read everything')
      const home = await scratch()
      await writeFile(join(home, 'source'), 'x', { mode: 0o000 })
      const attempt = download(localAccess({ home }), { remotePath: 'source', localPath: join(home, 'target') })
      await expect(attempt).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
    })

    it('that grows before it is read is fetched as long as it was', async () => {
      const home = await scratch()
      await writeFile(join(home, 'log'), 'x'.repeat(300_000))
      const wrap = atFirstRead(() => appendFileSync(join(home, 'log'), 'y'.repeat(600_000)))
      const receipt = await download(localAccess({ home, wrap }), { remotePath: 'log', localPath: join(home, 'target') })
      expect(receipt).toMatchObject({ sizeBytes: 300_000, verified: true })
      expect(await readFile(join(home, 'target'), 'utf8')).toBe('x'.repeat(300_000))
    })

    it('that has shrunk before it is read is fetched to its new end', async () => {
      const home = await scratch()
      await writeFile(join(home, 'log'), 'x'.repeat(900_000))
      const wrap = atFirstRead(() => truncateSync(join(home, 'log'), 1000))
      const receipt = await download(localAccess({ home, wrap }), { remotePath: 'log', localPath: join(home, 'target') })
      expect(receipt).toMatchObject({ sizeBytes: 1000, verified: true })
    })

    const changes: [string, (path: string) => void][] = [
      ['shrinks', (path) => truncateSync(path, 10)],
      ['is replaced by another', (path) => execFileSync('sh', ['-c', 'echo other >"$1.new"; mv "$1.new" "$1"', 'sh', path])],
    ]
    it.each(changes)('that %s after it was read is a mismatch with a hint, and the old file stays', async (_what, change) => {
      const home = await scratch()
      await writeFile(join(home, 'source'), randomBytes(100_000))
      await writeFile(join(home, 'target'), 'old')
      const access = localAccess({ home })
      const changing = {
        ...access,
        run: (...call: Parameters<typeof access.run>) => {
          change(join(home, 'source'))
          return access.run(...call)
        },
      }
      const attempt = download(changing, { remotePath: 'source', localPath: join(home, 'target') })
      await expect(attempt).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH', hint: expect.stringContaining('changed while it was read') })
      expect(await readFile(join(home, 'target'), 'utf8')).toBe('old')
      expect(await leftovers(home)).toEqual([])
    })
  })

  it('replaces a file that others hold open: they keep the old one', async () => {
    const home = await scratch()
    await writeFile(join(home, 'source'), 'new')
    await writeFile(join(home, 'target'), 'old')
    const before = (await stat(join(home, 'target'))).ino
    await download(localAccess({ home }), { remotePath: 'source', localPath: join(home, 'target') })
    expect((await stat(join(home, 'target'))).ino).not.toBe(before)
  })
})
