import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, chmod, chown, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { tmpdir } from 'node:os'
import { describe, expect, it, onTestFinished } from 'vitest'
import { remexError, type ErrorCode } from '../../../src/core/errors.ts'
import type { TransferAccess } from '../../../src/transfer/access.ts'
import { batchMemberName, putBatch, type PutBatch, type PutFile } from '../../../src/transfer/batch/put-batch.ts'
import { localAccess } from '../local-access.ts'
import { scratch } from '../scratch.ts'
import { ALL_TOOLS, hostWith, toolsOf, which } from './tool-path.ts'

const IS_ROOT = process.getuid?.() === 0
const PLAIN: Pick<PutFile, 'mode' | 'mtime'> = { mode: 0o640, mtime: 1_000_000_000 }

function putFile(content: Buffer | string, more: Partial<PutFile> = {}): PutFile {
  const bytes = Buffer.from(content)
  return { content: bytes, sha256: createHash('sha256').update(bytes).digest('hex'), ...PLAIN, ...more }
}

function batchOf(directory: string, files: readonly PutFile[], more: Partial<PutBatch> = {}): PutBatch {
  return { directory: Buffer.from(directory), files, nameOf: (index) => `file-${index}`, signal: undefined, ...more }
}

/** An access whose commands run after `before`, which may stand in for tools. */
function withPrelude(access: TransferAccess, before: string): TransferAccess {
  return { ...access, run: (command, options) => access.run(`${before}; ${String(command)}`, options) }
}

/** Everything on each kind of host: the tools of this machine, and those of busybox. */
const HOSTS: [string, (home: string) => Promise<TransferAccess>, string][] = [
  ['the tools of this machine', async (home) => localAccess({ home }), 'tar'],
  ['busybox', (home) => hostWith(home, { programs: [...ALL_TOOLS, 'busybox'], busybox: true }), 'busybox'],
]

describe.each(HOSTS)('putBatch, with %s', (_what, hostOf, needed) => {
  it('makes files of exactly the given content, mode and time, whatever the umask', async ({ skip }) => {
    skip(which(needed) === undefined, `there is no ${needed} on this machine`)
    const home = await scratch()
    const access = withPrelude(await hostOf(home), 'umask 077')
    const modes = [0o000, 0o200, 0o400, 0o444, 0o600, 0o644, 0o777, 0o1755, 0o2755, 0o4755, 0o6711]
    const sizes = [0, 1, 511, 512, 513, 2048, 200_000]
    const files = modes.flatMap((mode) => sizes.map((size) => putFile(randomBytes(size), { mode, mtime: 1_000_000_000 + size })))
    await putBatch(access, await toolsOf(access), batchOf(join(home, 'made'), files))
    expect((await stat(join(home, 'made'))).mode & 0o7777).toBe(0o700)
    expect((await readdir(join(home, 'made'))).sort()).toEqual(files.map((_, index) => batchMemberName(index)))
    for (const [index, file] of files.entries()) {
      const path = join(home, 'made', batchMemberName(index))
      const { mode, mtimeMs, uid, gid } = await stat(path)
      expect([index, mode & 0o7777, mtimeMs / 1000, uid, gid]).toEqual([index, file.mode, file.mtime, process.getuid?.(), process.getgid?.()])
      await chmod(path, 0o600)
      expect(file.content.equals(await readFile(path))).toBe(true)
    }
  })

  it('keeps root the owner, and an ordinary user too', async ({ skip }) => {
    skip(!IS_ROOT || which('setpriv') === undefined, 'only root can become somebody else')
    skip(which(needed) === undefined, `there is no ${needed} on this machine`)
    const home = await mkdtemp(join(tmpdir(), 'remex-transfer-'))
    onTestFinished(() => rm(home, { recursive: true }))
    const plain = await hostOf(home)
    await chown(home, 54_321, 54_321)
    const access: TransferAccess = {
      ...plain,
      run: (command, options) => plain.run([which('setpriv') ?? '', '--reuid', '54321', '--regid', '54321', '--clear-groups', '/bin/sh', '-c', String(command)], options),
    }
    const files = [0o000, 0o644, 0o4755, 0o2755].map((mode) => putFile('content', { mode }))
    await putBatch(access, await toolsOf(access), batchOf(join(home, 'made'), files))
    const made = await Promise.all(files.map((_, index) => stat(join(home, 'made', batchMemberName(index)))))
    expect(made.map(({ mode, uid, gid }) => [mode & 0o7777, uid, gid])).toEqual(files.map(({ mode }) => [mode, 54_321, 54_321]))
  })

  it('lets the host’s clock give the time where none is asked for', async ({ skip }) => {
    skip(which(needed) === undefined, `there is no ${needed} on this machine`)
    const home = await scratch()
    const access = await hostOf(home)
    const since = Math.floor(Date.now() / 1000) - 2
    for (const mtimes of [[undefined, undefined], [undefined, 1_000_000_000]]) {
      const directory = await mkdtemp(join(home, 'at-'))
      await putBatch(access, await toolsOf(access), batchOf(join(directory, 'made'), mtimes.map((mtime) => putFile('x', { mtime }))))
      expect((await stat(join(directory, 'made', batchMemberName(0)))).mtimeMs / 1000).toBeGreaterThan(since)
    }
  })

  it('makes an empty directory of no files', async ({ skip }) => {
    skip(which(needed) === undefined, `there is no ${needed} on this machine`)
    const home = await scratch()
    const access = await hostOf(home)
    await putBatch(access, await toolsOf(access), batchOf(join(home, 'made'), []))
    expect(await readdir(join(home, 'made'))).toEqual([])
  })

  it('is NO_SPACE on a full disk, and leaves nothing', async ({ skip }) => {
    skip(which(needed) === undefined, `there is no ${needed} on this machine`)
    const home = await scratch()
    const small = join(home, 'small')
    await mkdir(small)
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'remex-test', small], { stdio: 'ignore' })
    } catch {
      skip('no file system may be mounted here')
    }
    onTestFinished(() => void execFileSync('umount', [small]))
    const access = await hostOf(home)
    const files = Array.from({ length: 30 }, () => putFile(randomBytes(100_000)))
    const attempt = putBatch(access, await toolsOf(access), batchOf(join(small, 'made'), files))
    await expect(attempt).rejects.toMatchObject({ code: 'NO_SPACE', vmId: 'vm01', message: expect.stringContaining('No space left') })
    expect(await readdir(small)).toEqual([])
  })
})

describe('putBatch', () => {
  const names: [string, Buffer][] = [
    ['spaces and quotes', Buffer.from(` it's "two"  words `)],
    ['a newline at the end', Buffer.from('line\nbreak\n')],
    ['a leading dash', Buffer.from('-rf')],
    ['shell syntax', Buffer.from('$(touch owned);`id`&|<>*?[a]{b}!#~\\')],
    ['bytes that are not UTF-8', Buffer.from([0x66, 0xff, 0xfe, 0x80, 0x0a, 0x27, 0x25, 0x5c])],
  ]
  it.each(names)('makes a directory whose name has %s, and removes it when something is wrong', async (_what, name) => {
    const home = await scratch()
    const access = localAccess({ home })
    const directory = Buffer.concat([Buffer.from(`${home}/`), name])
    const right = batchOf('', [putFile('content')], { directory })
    await putBatch(access, await toolsOf(access), right)
    expect(await readFile(Buffer.concat([directory, Buffer.from(`/${batchMemberName(0)}`)]), 'utf8')).toBe('content')
    await rm(directory, { recursive: true })
    const wrong = batchOf('', [putFile('content', { sha256: '0'.repeat(64) })], { directory })
    await expect(putBatch(access, await toolsOf(access), wrong)).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' })
    expect(await readdir(home)).toEqual([])
  })

  it('is CHECKSUM_MISMATCH that counts the wrong files and names the first, and leaves nothing', async () => {
    const home = await scratch()
    const access = localAccess({ home })
    const files = Array.from({ length: 20 }, (_, index) => putFile(`content ${index}`, index % 5 === 3 ? { sha256: 'a'.repeat(64) } : {}))
    const attempt = putBatch(access, await toolsOf(access), batchOf(join(home, 'made'), files, { nameOf: (index) => `odd\u001b${index}` }))
    const message = expect.stringMatching(/4 of 20 files arrived wrong, the first is odd\\x1b3: SHA-256 is [0-9a-f]{64} there, but a{64} here/)
    await expect(attempt).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH', vmId: 'vm01', message })
    expect(await readdir(home)).toEqual([])
  })

  it('tells how much was sent, in the order of the files', async () => {
    const home = await scratch()
    const access = localAccess({ home })
    const sent: number[] = []
    const files = [3, 0, 70_000, 5].map((size) => putFile(randomBytes(size)))
    await putBatch(access, await toolsOf(access), batchOf(join(home, 'made'), files, { onSent: (bytes) => sent.push(bytes) }))
    expect(sent).toEqual([3, 0, 70_000, 5])
  })

  it('touches nothing that lies where the directory is to be made', async () => {
    const home = await scratch()
    const access = localAccess({ home })
    await mkdir(join(home, 'made'))
    await writeFile(join(home, 'made/theirs'), 'old')
    const attempt = putBatch(access, await toolsOf(access), batchOf(join(home, 'made'), [putFile('new')]))
    await expect(attempt).rejects.toMatchObject({ code: 'TRANSFER_FAILED', message: expect.stringContaining('File exists') })
    expect(await readdir(join(home, 'made'))).toEqual(['theirs'])
  })

  it('is TRANSFER_FAILED with the host’s words where there is no parent', async () => {
    const home = await scratch()
    const access = localAccess({ home })
    const attempt = putBatch(access, await toolsOf(access), batchOf(join(home, 'no/made'), [putFile('new')]))
    await expect(attempt).rejects.toMatchObject({ code: 'TRANSFER_FAILED', message: expect.stringContaining('No such file or directory') })
  })

  const failures: [string, string, ErrorCode, string][] = [
    ['that cannot write for a quota', `tar() { echo 'tar: 000000: Cannot write: Disk quota exceeded' >&2; return 2; }`, 'NO_SPACE', 'Disk quota exceeded'],
    ['that may not write', `mkdir() { echo "mkdir: can't create directory: Permission denied" >&2; return 1; }`, 'PERMISSION_DENIED', 'Permission denied'],
    ['that is mounted read-only', `mkdir() { echo 'mkdir: x: Read-only file system' >&2; return 1; }`, 'PERMISSION_DENIED', 'Read-only'],
    ['whose disk fails at the sync', `sync() { echo 'sync: error syncing: Input/output error' >&2; return 1; }`, 'TRANSFER_FAILED', 'Input/output error'],
    ['whose disk is full at the sync', `sync() { echo 'sync: error syncing: No space left on device' >&2; return 1; }`, 'NO_SPACE', 'No space left'],
    ['whose words are not printable', `tar() { printf 'tar: \\033[2J\\n' >&2; return 1; }`, 'TRANSFER_FAILED', String.raw`\x1b[2J`],
    ['that says nothing', 'tar() { return 1; }', 'TRANSFER_FAILED', 'could not take the files'],
    ['that remarks on times before', `tar() { echo 'tar: 0: implausibly old time stamp' >&2; echo 'tar: broken' >&2; return 1; }`, 'TRANSFER_FAILED', 'tar: broken'],
    ['that loses all files', 'tar() { cat >/dev/null; }', 'TRANSFER_FAILED', 'No such file'],
    ['that cannot change modes', 'chmod() { echo "chmod: Operation not permitted" >&2; return 1; }', 'PERMISSION_DENIED', 'not permitted'],
  ]
  it.each(failures)('leaves nothing on a host %s, and says why', async (_what, before, code, words) => {
    const home = await scratch()
    const plain = localAccess({ home })
    const attempt = putBatch(withPrelude(plain, before), await toolsOf(plain), batchOf(join(home, 'made'), [putFile('x', { mode: 0o200 })]))
    await expect(attempt).rejects.toMatchObject({ code, message: expect.stringContaining(words) })
    expect(await readdir(home)).toEqual([])
  })

  it.each([[0], [1], [2]])('leaves nothing on a host that loses file %s of three', async (lost) => {
    const home = await scratch()
    const plain = localAccess({ home })
    const losing = withPrelude(plain, `tar() { command tar "$@" && rm ${batchMemberName(lost)}; }`)
    const attempt = putBatch(losing, await toolsOf(plain), batchOf(join(home, 'made'), [putFile('a'), putFile('b'), putFile('c')]))
    await expect(attempt).rejects.toMatchObject({ code: 'TRANSFER_FAILED', message: expect.stringContaining('did not print the hash of every file') })
    expect(await readdir(home)).toEqual([])
  })

  it('is TRANSFER_FAILED on a host that does nothing and says that all is well', async () => {
    const run: TransferAccess['run'] = async () => ({ exitCode: 0, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) })
    const access = localAccess({ home: '/', run })
    const tools = await toolsOf(localAccess({ home: '/' }))
    for (const files of [[], [putFile('x')]]) {
      await expect(putBatch(access, tools, batchOf('/made', files))).rejects.toMatchObject({ code: 'TRANSFER_FAILED' })
    }
  })

  it.each(['stdout', 'stderr'])('ends a host that floods %s', async (stream) => {
    const home = await scratch()
    const plain = localAccess({ home })
    const flood = withPrelude(plain, `sha256sum() { exec yes ${stream === 'stderr' ? '>&2' : ''}; }`)
    const attempt = putBatch(flood, { ...(await toolsOf(plain)), checksum: 'sha256sum' }, batchOf(join(home, 'made'), [putFile('x')]))
    await expect(attempt).rejects.toMatchObject({ code: 'TRANSFER_FAILED', message: expect.stringContaining('far more') })
    expect(await readdir(home)).toEqual([])
  })

  it('leaves nothing when it is aborted in the middle, and rejects with the reason', async () => {
    const home = await scratch()
    const access = localAccess({ home })
    const controller = new AbortController()
    const reason = remexError('CANCELLED', 'enough')
    const files = Array.from({ length: 200 }, () => putFile(randomBytes(20_000)))
    let sent = 0
    const onSent = (): void => {
      if (++sent === 100) controller.abort(reason)
    }
    const attempt = putBatch(access, await toolsOf(access), batchOf(join(home, 'made'), files, { signal: controller.signal, onSent }))
    await expect(attempt).rejects.toBe(reason)
    expect(await readdir(home)).toEqual([])
  })

  it('does nothing at all when it is aborted before', async () => {
    let commands = 0
    const run = (): Promise<never> => Promise.reject(new Error(String((commands += 1))))
    const reason = remexError('CANCELLED', 'enough')
    const batch = batchOf('/made', [putFile('x')], { signal: AbortSignal.abort(reason) })
    await expect(putBatch(localAccess({ home: '/', run }), await toolsOf(localAccess({ home: '/' })), batch)).rejects.toBe(reason)
    expect(commands).toBe(0)
  })

  it('leaves nothing when the connection breaks in the middle, as far as the host still hears of it', async () => {
    const home = await scratch()
    const plain = localAccess({ home })
    // What sshd does with a connection that is gone: the command's input ends, and nobody reads what it prints.
    const cut: TransferAccess['run'] = async (command, options) => {
      if (options?.stdin === undefined) throw remexError('CONNECTION_LOST', 'still gone')
      await plain.run(`head -c 5000 | { ${String(command)}; }`, options)
      throw remexError('CONNECTION_LOST', 'gone')
    }
    const files = Array.from({ length: 20 }, () => putFile(randomBytes(2000)))
    const attempt = putBatch({ ...plain, run: cut }, await toolsOf(plain), batchOf(join(home, 'made'), files))
    await expect(attempt).rejects.toMatchObject({ code: 'CONNECTION_LOST', message: 'gone' })
    expect(await readdir(home)).toEqual([])
  })

  it('does not wait for a host that no longer answers', async () => {
    const tools = await toolsOf(localAccess({ home: '/' }))
    const run: TransferAccess['run'] = (_command, options) =>
      options?.stdin === undefined ? new Promise(() => undefined) : Promise.reject(remexError('CONNECTION_LOST', 'gone'))
    const start = performance.now()
    await expect(putBatch(localAccess({ home: '/', run }), tools, batchOf('/made', [putFile('x')]))).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
    expect(performance.now() - start).toBeLessThan(10_000)
  })
})
