import { createHash, randomBytes } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { chmod, link, lstat, mkdir, readFile, readlink, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { remexError } from '../../src/core/errors.ts'
import type { RemexError } from '../../src/core/errors.ts'
import { upload } from '../../src/transfer/upload.ts'
import { localAccess, sftpServerPath } from './local-access.ts'
import { relayed, statusReply, typeOf } from './relay.ts'
import { leftovers, scratch } from './scratch.ts'

const sha256 = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex')
const isRoot = process.getuid?.() === 0

describe.skipIf(sftpServerPath === undefined)('upload, against the real sftp-server', () => {
  it('sends a file of many chunks and returns a verified receipt', async () => {
    const home = await scratch()
    const content = randomBytes(3_000_000)
    await writeFile(join(home, 'source.bin'), content, { mode: 0o640 })
    const seen: [number, number | undefined][] = []
    const receipt = await upload(localAccess({ home }), {
      localPath: join(home, 'source.bin'),
      remotePath: join(home, 'target.bin'),
      onProgress: (done, total) => seen.push([done, total]),
    })
    expect(receipt).toEqual({
      vmId: 'vm01',
      direction: 'upload',
      local: join(home, 'source.bin'),
      remote: join(home, 'target.bin'),
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
  it.each(sizes)('sends a file of %d bytes, whatever chunk it ends in', async (sizeBytes) => {
    const home = await scratch()
    const content = randomBytes(sizeBytes)
    const receipt = await upload(localAccess({ home }), { data: content, remotePath: 'target' })
    expect(receipt).toMatchObject({ sizeBytes, sha256: sha256(content), verified: true, mode: 0o600, remote: join(home, 'target') })
    expect(content.equals(await readFile(join(home, 'target')))).toBe(true)
  })

  it('reads a file of /proc, which says it is empty, to its end', async () => {
    const home = await scratch()
    const receipt = await upload(localAccess({ home }), { localPath: '/proc/version', remotePath: 'version' })
    expect(receipt.sizeBytes).toBeGreaterThan(0)
    expect(await readFile(join(home, 'version'))).toEqual(await readFile('/proc/version'))
  })

  const servers: [string, readonly string[]][] = [
    ['no extension at all', ['-P', 'posix-rename,statvfs,fstatvfs,hardlink,fsync,lsetstat,limits,expand-path,copy-data']],
    ['no limits', ['-P', 'limits']],
    ['no posix-rename', ['-P', 'posix-rename']],
  ]
  it.each(servers)('replaces an existing file on a server with %s', async (_what, serverFlags) => {
    const home = await scratch()
    const content = randomBytes(700_000)
    await writeFile(join(home, 'target'), 'old')
    const receipt = await upload(localAccess({ home, serverFlags }), { data: content, remotePath: 'target' })
    expect(receipt.verified).toBe(true)
    expect(content.equals(await readFile(join(home, 'target')))).toBe(true)
    expect(await leftovers(home)).toEqual([])
  })

  describe('mode', () => {
    const cases: [string, { given?: number; existing?: number; source?: number; umask?: string }, number][] = [
      ['is the given one, set-user-id and all', { given: 0o4750, existing: 0o600, source: 0o644 }, 0o4750],
      ['is the given one though the umask would take some of it', { given: 0o666, umask: '077' }, 0o666],
      ['may be one that the owner cannot even read', { given: 0o000 }, 0o000],
      ['is that of the file which is replaced, so that a secret stays one', { existing: 0o600, source: 0o644 }, 0o600],
      ['is that of the file which is replaced, though the umask is tight', { existing: 0o664, source: 0o600, umask: '077' }, 0o664],
      ['is that of the source for a new file', { source: 0o754, umask: '000' }, 0o754],
      ['is that of the source less the umask of the host', { source: 0o666, umask: '027' }, 0o640],
      ['is that of a read-only source', { source: 0o444, umask: '022' }, 0o444],
    ]
    it.each(cases)('%s', async (_what, { given, existing, source = 0o600, umask = '022' }, expected) => {
      const home = await scratch()
      await writeFile(join(home, 'source'), 'new')
      await chmod(join(home, 'source'), source)
      if (existing !== undefined) await writeFile(join(home, 'target'), 'old').then(() => chmod(join(home, 'target'), existing))
      const access = localAccess({ home, serverFlags: ['-u', umask] })
      const receipt = await upload(access, { localPath: join(home, 'source'), remotePath: 'target', mode: given })
      expect(receipt.mode).toBe(expected)
      expect((await stat(join(home, 'target'))).mode & 0o7777).toBe(expected)
    })

    it.each([-1, 0o10000, 1.5, Number.NaN])('of %d is refused before anything is sent', async (mode) => {
      const home = await scratch()
      const access = { ...localAccess({ home }), sftp: () => Promise.reject(new Error('must not be asked')) }
      await expect(upload(access, { data: Buffer.from('x'), remotePath: 'target', mode })).rejects.toMatchObject({ code: 'USAGE' })
    })

    it('is set on the file that was written, not on what its name means by then', async () => {
      const home = await scratch()
      await writeFile(join(home, 'victim'), '', { mode: 0o600 })
      const wrap = (channel: Parameters<typeof relayed>[0]) =>
        relayed(channel, {
          onRequest: (packet) => {
            const swap = 'for f in .target.remex-*; do ln -sf victim "$f"; done'
            if (typeOf(packet) === 9 || typeOf(packet) === 10) execFileSync('sh', ['-c', swap], { cwd: home })
            return [packet]
          },
        })
      // The hash is computed at the same time, and may be that of the victim: then nothing gets the name.
      const moving = upload(localAccess({ home, wrap }), { data: Buffer.from('x'), remotePath: 'target', mode: 0o666 })
      expect([undefined, 'CHECKSUM_MISMATCH']).toContain(await moving.then(() => undefined, (error: unknown) => (error as RemexError).code))
      expect((await stat(join(home, 'victim'))).mode & 0o777).toBe(0o600)
    })

    it('keeps a file that is to be secret from others at every moment before it has its name', async () => {
      const home = await scratch()
      const modes: number[] = []
      const wrap = (channel: Parameters<typeof relayed>[0]) =>
        relayed(channel, {
          onRequest: (packet) => {
            const [name] = typeOf(packet) === 6 ? execFileSync('ls', ['-A', home]).toString().split('\n') : []
            if (name !== undefined) modes.push(Number(execFileSync('stat', ['-c', '%a', join(home, name)]).toString()))
            return [packet]
          },
        })
      const access = localAccess({ home, wrap, serverFlags: ['-u', '000'] })
      await upload(access, { data: Buffer.from('secret'), remotePath: 'target', mode: 0o600 })
      expect(modes).toEqual([600])
    })
  })

  describe('target', () => {
    it('that is a directory gets the file under its local name', async () => {
      const home = await scratch()
      await mkdir(join(home, 'into'))
      await writeFile(join(home, 'source'), 'new')
      const receipt = await upload(localAccess({ home }), { localPath: join(home, 'source'), remotePath: 'into' })
      expect(receipt.remote).toBe(join(home, 'into/source'))
      expect(await readFile(join(home, 'into/source'), 'utf8')).toBe('new')
    })

    it('that is a symbolic link stays one, and what it points at is replaced', async () => {
      const home = await scratch()
      await mkdir(join(home, 'elsewhere'))
      await writeFile(join(home, 'elsewhere/real'), 'old')
      await symlink('elsewhere/real', join(home, 'link'))
      const receipt = await upload(localAccess({ home }), { data: Buffer.from('new'), remotePath: 'link' })
      expect(receipt.remote).toBe(join(home, 'elsewhere/real'))
      expect(await readlink(join(home, 'link'))).toBe('elsewhere/real')
      expect(await readFile(join(home, 'elsewhere/real'), 'utf8')).toBe('new')
    })

    const refused: [string, string, string, RegExp][] = [
      ['in a directory that is not there', 'missing/target', 'REMOTE_NOT_FOUND', /directory .*missing is not there/],
      ['in a directory under one that is not there', 'missing/deep/target', 'REMOTE_NOT_FOUND', /directory missing\/deep is not there/],
      ['with a slash at the end that is no directory', 'missing/', 'REMOTE_NOT_FOUND', /directory missing\/ is not there/],
      ['below a file', 'file/target', 'REMOTE_NOT_FOUND', /file is not there/],
      ['that has a directory where the file would go', 'into', 'TRANSFER_FAILED', /into\/source is a directory/],
      ['that is a pipe', 'pipe', 'TRANSFER_FAILED', /pipe is not a regular file/],
      ['that is a device', '/dev/null', 'TRANSFER_FAILED', /\/dev\/null is not a regular file/],
      ['that is a symbolic link to nothing', 'dangling', 'TRANSFER_FAILED', /symbolic link to nothing/],
      ['with an empty name', '', 'USAGE', /empty/],
      ['with a NUL in its name', 'a\0b', 'USAGE', /NUL/],
      ['that is dot-dot of nothing', 'missing/..', 'REMOTE_NOT_FOUND', /is not there/],
    ]
    it.each(refused)('%s is refused, and nothing is left', async (_what, remotePath, code, words) => {
      const home = await scratch()
      await mkdir(join(home, 'into/source'), { recursive: true })
      execFileSync('mkfifo', [join(home, 'pipe')])
      await symlink('nowhere', join(home, 'dangling'))
      await writeFile(join(home, 'file'), '')
      await writeFile(join(home, 'source'), 'new')
      const attempt = upload(localAccess({ home }), { localPath: join(home, 'source'), remotePath })
      await expect(attempt).rejects.toMatchObject({ code, message: expect.stringMatching(words), mayHaveRun: false })
      expect(await leftovers(home)).toEqual([])
      expect((await lstat('/dev/null')).isCharacterDevice()).toBe(true)
    })

    it('that is a directory needs a name for bytes that have none', async () => {
      const home = await scratch()
      await expect(upload(localAccess({ home }), { data: Buffer.from('x'), remotePath: '.' })).rejects.toMatchObject({ code: 'USAGE' })
    })

    it('in a directory that is not writable is refused with a hint why', async ({ skip }) => {
      skip(isRoot, 'root may write everywhere')
      const home = await scratch()
      await mkdir(join(home, 'closed'), { mode: 0o500 })
      await expect(upload(localAccess({ home }), { data: Buffer.from('x'), remotePath: 'closed/target' })).rejects.toMatchObject({
        code: 'PERMISSION_DENIED',
        hint: expect.stringContaining('closed must be writable'),
      })
    })
  })

  describe('source', () => {
    const refused: [string, string, string][] = [
      ['is not there', 'missing', 'LOCAL_NOT_FOUND'],
      ['is a directory', 'directory', 'USAGE'],
      ['is a pipe that nobody writes to', 'pipe', 'USAGE'],
      ['is a device', '/dev/zero', 'USAGE'],
      ['has an empty name', '', 'USAGE'],
    ]
    it.each(refused)('that %s is refused before the host is asked', async (_what, name, code) => {
      const home = await scratch()
      await mkdir(join(home, 'directory'))
      execFileSync('mkfifo', [join(home, 'pipe')])
      const access = { ...localAccess({ home }), sftp: () => Promise.reject(new Error('must not be asked')) }
      const localPath = name === '' || name.startsWith('/') ? name : join(home, name)
      await expect(upload(access, { localPath, remotePath: 'target' })).rejects.toMatchObject({ code })
    })

    it('that may not be read is PERMISSION_DENIED', async ({ skip }) => {
      skip(isRoot, 'root may read everything')
      const home = await scratch()
      await writeFile(join(home, 'source'), 'x', { mode: 0o000 })
      const attempt = upload(localAccess({ home }), { localPath: join(home, 'source'), remotePath: 'target' })
      await expect(attempt).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
    })

    const changes: [string, (path: string) => unknown][] = [
      ['grows', (path) => appendFileSync(path, 'more')],
      ['shrinks', (path) => execFileSync('truncate', ['-s', '10', path])],
      ['is written to in place', (path) => execFileSync('touch', ['-d', '2001-01-01', path])],
    ]
    it.each(changes)('that %s while it is read fails, and the old file stays', async (_what, change) => {
      const home = await scratch()
      const source = join(home, 'source')
      await writeFile(source, randomBytes(100_000))
      await writeFile(join(home, 'target'), 'old')
      let isChanged = false
      const wrap = (channel: Parameters<typeof relayed>[0]) =>
        relayed(channel, {
          onRequest: (packet) => {
            if (typeOf(packet) === 6 && !isChanged) change(source)
            isChanged ||= typeOf(packet) === 6
            return [packet]
          },
        })
      await expect(upload(localAccess({ home, wrap }), { localPath: source, remotePath: 'target' })).rejects.toMatchObject({
        code: 'TRANSFER_FAILED',
        message: expect.stringContaining('changed while it was read'),
      })
      expect(await readFile(join(home, 'target'), 'utf8')).toBe('old')
      expect(await leftovers(home)).toEqual([])
    })

    it('that is unlinked while it is read is sent whole', async () => {
      const home = await scratch()
      const source = join(home, 'source')
      await writeFile(source, 'still here')
      const wrap = (channel: Parameters<typeof relayed>[0]) =>
        relayed(channel, {
          onRequest: (packet) => {
            if (typeOf(packet) === 3) execFileSync('rm', [source])
            return [packet]
          },
        })
      const receipt = await upload(localAccess({ home, wrap }), { localPath: source, remotePath: 'target' })
      expect(receipt).toMatchObject({ verified: true, sha256: sha256('still here') })
    })
  })

  it('leaves the old file, and its other names, as they were: the new one is another file', async () => {
    const home = await scratch()
    await writeFile(join(home, 'target'), 'old')
    await link(join(home, 'target'), join(home, 'other-name'))
    await upload(localAccess({ home }), { data: Buffer.from('new'), remotePath: 'target' })
    expect(await readFile(join(home, 'other-name'), 'utf8')).toBe('old')
    expect(await readFile(join(home, 'target'), 'utf8')).toBe('new')
  })

  it('says honestly that nothing was verified when that was not wanted, and asks the host for nothing', async () => {
    const home = await scratch()
    const access = localAccess({ home, run: () => Promise.reject(new Error('must not be run')) })
    const receipt = await upload(access, { data: Buffer.from('x'), remotePath: 'target', verify: false })
    expect(receipt.verified).toBe(false)
  })

  it('puts the bytes on disk before the name, where the server offers fsync', async () => {
    const home = await scratch()
    const asked: string[] = []
    const wrap = (channel: Parameters<typeof relayed>[0]) =>
      relayed(channel, {
        onRequest: (packet) => {
          if (typeOf(packet) === 200) asked.push(packet.toString('latin1', 9, 9 + packet.readUInt32BE(5)))
          return [packet]
        },
      })
    await upload(localAccess({ home, wrap }), { data: Buffer.from('x'), remotePath: 'target' })
    expect(asked).toEqual(['limits@openssh.com', 'fsync@openssh.com', 'posix-rename@openssh.com'])
  })

  it('puts the old file back when the new one cannot take its place and posix-rename is not offered', async () => {
    const home = await scratch()
    await writeFile(join(home, 'target'), 'old')
    const inode = (await stat(join(home, 'target'))).ino
    let renames = 0
    const wrap = (channel: Parameters<typeof relayed>[0]) =>
      relayed(channel, {
        onRequest: (packet, relay) => {
          renames += typeOf(packet) === 18 ? 1 : 0
          // 1: over the target, refused by the server. 2: the old one aside. 3: the new one into its place.
          if (typeOf(packet) !== 18 || renames !== 3) return [packet]
          relay.reply(statusReply(packet, 4))
          return []
        },
      })
    const access = localAccess({ home, wrap, serverFlags: ['-P', 'posix-rename'] })
    await expect(upload(access, { data: Buffer.from('new'), remotePath: 'target' })).rejects.toMatchObject({ code: 'TRANSFER_FAILED' })
    expect(renames).toBe(4)
    expect(await readFile(join(home, 'target'), 'utf8')).toBe('old')
    expect((await stat(join(home, 'target'))).ino).toBe(inode)
    expect(await leftovers(home)).toEqual([])
  })

  it('lets two uploads to one target end with one of the two, whole', async () => {
    const home = await scratch()
    const contents = [randomBytes(400_000), randomBytes(400_000)]
    await Promise.all(contents.map((data) => upload(localAccess({ home }), { data, remotePath: 'target' })))
    const found = await readFile(join(home, 'target'))
    expect(contents.some((content) => content.equals(found))).toBe(true)
    expect(await leftovers(home)).toEqual([])
  })

  it('rejects with the very reason of a signal that had aborted, before anything is opened', async () => {
    const home = await scratch()
    const reason = remexError('TIMED_OUT', 'the deadline passed')
    const access = { ...localAccess({ home }), sftp: () => Promise.reject(new Error('must not be asked')) }
    const attempt = upload(access, { data: Buffer.from('x'), remotePath: 'target', signal: AbortSignal.abort(reason) })
    await expect(attempt).rejects.toBe(reason)
  })

  it('keeps neither times nor owner of the source: the file is new', async () => {
    const home = await scratch()
    await writeFile(join(home, 'source'), 'x')
    await utimes(join(home, 'source'), 1_000_000, 1_000_000)
    await upload(localAccess({ home }), { localPath: join(home, 'source'), remotePath: 'target' })
    expect((await stat(join(home, 'target'))).mtimeMs).toBeGreaterThan(1_000_000_000)
  })
})
