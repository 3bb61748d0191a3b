import { createHash, randomBytes } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { chmod, lstat, mkdir, readdir, readFile, readlink, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { remexError, type RemexError } from '../../../src/core/errors.ts'
import { Partials } from '../../../src/transfer/partials.ts'
import { transfer, type Transfer } from '../../../src/transfer/transfer.ts'
import { Manifest } from '../../../src/transfer/tree/manifest.ts'
import { emptyTally, type TreeTally } from '../../../src/transfer/tree/move-tree.ts'
import { localAccess, sftpServerPath, type LocalHost } from '../local-access.ts'
import { relayed, statusReply, typeOf } from '../relay.ts'
import { scratch } from '../scratch.ts'

type Direction = 'upload' | 'download'
type TreeOptions = Partial<Transfer> & Partial<NonNullable<Transfer['tree']>>

/** What became of a tree. */
interface Moved {
  readonly manifest: Manifest
  readonly tally: TreeTally
  readonly error: RemexError | undefined
}

/** Two directories, `from` and `to`, of which the one is made like the other. */
interface Stage {
  readonly home: string
  readonly from: string
  readonly to: string
  readonly move: (options?: TreeOptions, host?: Partial<LocalHost>) => Promise<Moved>
}

async function stage(direction: Direction): Promise<Stage> {
  const home = await scratch()
  const [from, to] = [join(home, 'from'), join(home, 'to')]
  await mkdir(from)
  const partials = new Partials(join(home, 'state'))
  const move = async ({ delete: removes, rules, onPlan, ...options }: TreeOptions = {}, host: Partial<LocalHost> = {}): Promise<Moved> => {
    const [manifest, tally] = [new Manifest(), emptyTally()]
    const ends = direction === 'upload' ? { local: from, remote: to } : { local: to, remote: from }
    const tree = { manifest, tally, delete: removes, rules, onPlan }
    const error = (await transfer(localAccess({ home, ...host }), { operation: direction, ...ends, partials, tree, ...options }).then(() => undefined, (reason: unknown) => reason)) as RemexError | undefined
    return { manifest, tally, error }
  }
  return { home, from, to, move }
}

/** Writes files, making the directories they are in; a text that begins with `->` is a symbolic link. */
async function plant(root: string, files: Readonly<Record<string, string | Buffer>>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(root, name)
    await mkdir(dirname(path), { recursive: true })
    if (typeof content === 'string' && content.startsWith('->')) await symlink(content.slice(2), path)
    else await writeFile(path, content)
  }
}

/** Every path below `root` with what it is: its content, where a link points, or `/` for a directory. */
async function seen(root: string): Promise<Record<string, string>> {
  const all: Record<string, string> = {}
  for (const entry of (await readdir(root, { recursive: true, withFileTypes: true })).sort()) {
    const path = join(entry.parentPath, entry.name)
    const name = path.slice(root.length + 1)
    all[name] = entry.isDirectory() ? '/' : entry.isSymbolicLink() ? `->${await readlink(path)}` : await readFile(path, 'latin1')
  }
  return all
}

const FILES = { 'a.txt': 'one', 'empty': '', 'sub/b.txt': 'two', 'sub/deep/er/c': 'three', 'link': '->sub/b.txt', 'dangling': '->/nowhere', 'big': randomBytes(3_000_000) }
const NO_SHELL: LocalHost['run'] = async () => ({ exitCode: 127, stdout: Buffer.alloc(0), stderr: Buffer.from('This service allows sftp connections only.') })
const mtimeOf = async (path: string): Promise<number> => Math.floor((await lstat(path)).mtimeMs / 1000)

describe.skipIf(sftpServerPath === undefined).each(['upload', 'download'] as const)('a tree, by %s,', (direction) => {
  it.each([['in batches', {}], ['file by file, where the host has no shell', { run: NO_SHELL }]])('is made whole %s', async (_how, host: Partial<LocalHost>) => {
    const { from, to, move } = await stage(direction)
    await plant(from, FILES)
    await mkdir(join(from, 'nothing in it'))
    const { manifest, tally, error } = await move({}, host)
    expect(error).toBeUndefined()
    expect(await seen(to)).toEqual(await seen(from))
    expect(tally).toMatchObject({ directories: 5, links: 2, unchanged: 0, failed: 0, deleted: 0, skipped: 0 })
    expect([...manifest].map(({ path }) => path.toString())).toEqual(['a.txt', 'big', 'empty', 'sub/b.txt', 'sub/deep/er/c'])
    for (const { path, sha256, sizeBytes, verified } of manifest) {
      const content = await readFile(join(to, path.toString()))
      expect({ sha256, sizeBytes, verified }).toEqual({ sha256: createHash('sha256').update(content).digest('hex'), sizeBytes: content.length, verified: true })
    }
  })

  it('has a manifest whose hash the stock tools of a system compute too', async () => {
    const { from, to, move } = await stage(direction)
    await plant(from, FILES)
    const { manifest } = await move()
    const theirs = execFileSync('sh', ['-c', `cd "$1" && find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum`, 'sh', to])
    expect(manifest.sha256()).toBe(theirs.toString().slice(0, 64))
  })

  it('that did not change is left alone, file for file', async () => {
    const { from, to, move } = await stage(direction)
    await plant(from, FILES)
    await move()
    const inode = (await stat(join(to, 'a.txt'))).ino
    const { manifest, tally } = await move()
    expect(tally).toMatchObject({ unchanged: 7, directories: 0, links: 0 })
    expect(manifest.size).toBe(0)
    expect((await stat(join(to, 'a.txt'))).ino).toBe(inode)
  })

  const changes: [string, (path: string) => Promise<void>][] = [
    ['another size', (path) => writeFile(path, 'longer')],
    ['another time', (path) => utimes(path, 5, 5)],
  ]
  it.each(changes)('gets what has %s', async (_what, change) => {
    const { from, to, move } = await stage(direction)
    await plant(from, FILES)
    await move()
    await change(join(from, 'sub/b.txt'))
    const { manifest, tally } = await move()
    expect([...manifest].map(({ path }) => path.toString())).toEqual(['sub/b.txt'])
    expect(tally.unchanged).toBe(6)
    expect(await seen(to)).toEqual(await seen(from))
  })

  it.each([['in batches', {}], ['file by file', { run: NO_SHELL }]])('with checksum gets what differs though size and time do not, and only that, %s', async (_how, host: Partial<LocalHost>) => {
    const { from, to, move } = await stage(direction)
    await plant(from, { ...FILES, [`odd\nname`]: 'x', '-n': 'y' })
    await move({}, host)
    const { mtime } = await stat(join(to, 'a.txt'))
    await writeFile(join(to, 'a.txt'), 'eno')
    await utimes(join(to, 'a.txt'), mtime, mtime)
    await utimes(join(to, 'sub/b.txt'), 5, 5)
    expect((await move({}, host)).manifest.size).toBe(1)
    await utimes(join(to, 'sub/b.txt'), 5, 5)
    const { manifest, tally } = await move({ checksum: true }, host)
    expect([...manifest].map(({ path }) => path.toString())).toEqual(['a.txt'])
    expect(tally.unchanged).toBe(8)
    expect(await seen(to)).toEqual(await seen(from))
    expect(await mtimeOf(join(to, 'sub/b.txt'))).toBe(await mtimeOf(join(from, 'sub/b.txt')))
  })

  it('keeps what only the target has, and with delete removes it', async () => {
    const { from, to, move } = await stage(direction)
    await plant(from, { keep: 'k' })
    await plant(to, { 'old': 'o', 'olddir/x/y': 'z', 'oldlink': '->/etc/passwd' })
    await move()
    expect(Object.keys(await seen(to)).sort()).toEqual(['keep', 'old', 'olddir', 'olddir/x', 'olddir/x/y', 'oldlink'])
    const { tally } = await move({ delete: true })
    expect(Object.keys(await seen(to))).toEqual(['keep'])
    expect(tally.deleted).toBe(5)
  })

  it('deletes nothing where something failed: a source that cannot be had whole is no pattern', async () => {
    const { from, to, move } = await stage(direction)
    await plant(from, { 'a': 'x', 'd/inside': 'y' })
    await plant(to, { 'd': 'a file in the way', 'old': 'o' })
    await rm(join(to, 'd'))
    await symlink('/nowhere/at/all', join(to, 'd'))
    const { error, tally } = await move()
    expect(error).toMatchObject({ code: 'TRANSFER_FAILED', message: expect.stringContaining('of the tree, 1 failed') })
    expect(tally).toMatchObject({ failed: 1, deleted: 0 })
    expect(await seen(to)).toEqual({ a: 'x', d: '->/nowhere/at/all', old: 'o' })
  })

  it('replaces what is of another kind with delete only, and never writes through a link', async () => {
    const { from, to, home, move } = await stage(direction)
    await plant(from, { 'd/inside': 'y', 'f': 'file', 'l': '->f' })
    await plant(home, { 'outside/inside': 'untouched' })
    await plant(to, { 'd': `->${join(home, 'outside')}`, 'f/was/a/directory': '1', 'l': 'was a file' })
    const { error, tally } = await move()
    expect(error?.code).toBe('TRANSFER_FAILED')
    expect(tally.failed).toBe(3)
    expect(await readFile(join(home, 'outside/inside'), 'utf8')).toBe('untouched')
    expect((await move({ delete: true })).error).toBeUndefined()
    expect(await seen(to)).toEqual(await seen(from))
    expect(await readFile(join(home, 'outside/inside'), 'utf8')).toBe('untouched')
  })

  it('leaves out what is excluded, at both ends', async () => {
    const { from, to, move } = await stage(direction)
    await plant(from, { 'a.log': '1', 'b.txt': '2', 'tmp/x': '3', 'keep.log': '4' })
    await plant(to, { 'old.log': '5', 'old.txt': '6' })
    const rules = [
      { effect: 'include', pattern: 'keep.log' },
      { effect: 'exclude', pattern: '*.log' },
      { effect: 'exclude', pattern: 'tmp/' },
    ] as const
    await move({ delete: true, rules })
    expect(await seen(to)).toEqual({ 'b.txt': '2', 'keep.log': '4', 'old.log': '5' })
  })

  it('keeps names of any bytes', async () => {
    const { from, to, move } = await stage(direction)
    const names = ['new\nline', ' spaces ', '-rf', `it's "q" \\ $HOME \`x\``, '*?[a]', 'größe-日本', '.hidden', 'a'.repeat(255)].map((name) => Buffer.from(name))
    names.push(Buffer.from([0x66, 0xff, 0xfe, 0x80]), Buffer.from([0x1b, 0x5b, 0x31, 0x6d]))
    for (const name of names) await writeFile(Buffer.concat([Buffer.from(`${from}/`), name]), name)
    const { error, manifest } = await move()
    expect(error).toBeUndefined()
    const arrived = await readdir(to, { encoding: 'buffer' })
    const sorted = (list: readonly Buffer[]): string[] => list.map((name) => name.toString('hex')).sort()
    expect(sorted(arrived)).toEqual(sorted(names))
    expect(sorted([...manifest].map(({ path }) => path))).toEqual(sorted(names))
    for (const name of names) expect((await readFile(Buffer.concat([Buffer.from(`${to}/`), name]))).equals(name)).toBe(true)
    expect((await move()).tally.unchanged).toBe(names.length)
  })

  it('gives files their times, and with preserve modes and the times of directories too', async () => {
    const { from, to, move } = await stage(direction)
    await plant(from, { 'run.sh': 'x', 'd/secret': 'y', 'd/big': FILES.big })
    await chmod(join(from, 'run.sh'), 0o777)
    await chmod(join(from, 'd/big'), 0o777)
    await chmod(join(from, 'd'), 0o577)
    for (const name of ['run.sh', 'd/secret', 'd/big', 'd']) await utimes(join(from, name), 1_000_000_000, 1_000_000_000)
    await move()
    for (const name of ['run.sh', 'd/secret', 'd/big']) expect(await mtimeOf(join(to, name))).toBe(1_000_000_000)
    await mkdir(join(from, 'as the umask has it'), 0o777)
    expect((await stat(join(to, 'run.sh'))).mode & 0o777).toBe((await stat(join(from, 'as the umask has it'))).mode & 0o777)
    const { tally } = await move({ preserve: true })
    expect(tally.unchanged).toBe(3)
    for (const name of ['run.sh', 'd/big']) expect((await stat(join(to, name))).mode & 0o777).toBe(0o777)
    expect((await stat(join(to, 'd'))).mode & 0o777).toBe(0o577)
    expect(await mtimeOf(join(to, 'd'))).toBe(1_000_000_000)
    // So that an ordinary user can remove them.
    for (const root of [from, to]) await chmod(join(root, 'd'), 0o755)
  })

  it('gives files the mode that is asked for', async () => {
    const { from, to, move } = await stage(direction)
    await plant(from, { 'a': 'x', 'big': FILES.big })
    await move({ mode: 0o604 })
    for (const name of ['a', 'big']) expect((await stat(join(to, name))).mode & 0o7777).toBe(0o604)
  })

  it('tells how much of it has come, as a sum', async () => {
    const { from, move } = await stage(direction)
    await plant(from, FILES)
    const told: number[] = []
    await move({ onProgress: (doneBytes) => void told.push(doneBytes) })
    expect(told).toEqual([...told].sort((a, b) => a - b))
    expect(told.at(-1)).toBe(3_000_000 + 3 + 3 + 5)
  })

  it('skips devices, pipes and sockets, and says how many', async () => {
    const { from, to, move } = await stage(direction)
    await plant(from, { a: 'x' })
    execFileSync('mkfifo', [join(from, 'pipe')])
    const { tally, error } = await move()
    expect(error).toBeUndefined()
    expect(tally.skipped).toBe(1)
    expect(await seen(to)).toEqual({ a: 'x' })
  })

  it('only tells what it would do, in a dry run', async () => {
    const { from, to, move } = await stage(direction)
    await plant(from, { 'a': 'x', 'd/b': 'y' })
    await plant(to, { a: 'old', gone: 'z' })
    const planned: string[] = []
    await move({ delete: true, onPlan: ({ kind, path }) => void planned.push(`${kind} ${path.toString()}`) })
    expect(planned).toEqual(['directory ', 'file a', 'directory d', 'file d/b', 'leave d', 'extra gone', 'leave '])
    expect(await seen(to)).toEqual({ a: 'old', gone: 'z' })
  })

  it('needs a directory to hold it, and a directory to be made like', async () => {
    const { from, to, move, home } = await stage(direction)
    await rm(from, { recursive: true })
    expect((await move()).error).toMatchObject({ code: direction === 'upload' ? 'LOCAL_NOT_FOUND' : 'REMOTE_NOT_FOUND' })
    await writeFile(from, 'a file')
    expect((await move()).error).toMatchObject({ code: 'USAGE' })
    await rm(from)
    await plant(from, { a: 'x' })
    const nowhere = join(to, 'not', 'there')
    const ends = direction === 'upload' ? { remote: nowhere } : { local: nowhere }
    expect((await move(ends)).error).toMatchObject({ code: direction === 'upload' ? 'REMOTE_NOT_FOUND' : 'LOCAL_NOT_FOUND' })
    expect(await readdir(home)).not.toContain('to')
  })

  it('that was cancelled leaves nothing unfinished, says how many are in place, and a repeat does the rest', async () => {
    const { from, to, move } = await stage(direction)
    await plant(from, Object.fromEntries(Array.from({ length: 2500 }, (_, index) => [`d${index % 7}/f${index}`, `content ${index}`])))
    const cancel = new AbortController()
    const seenBytes = { count: 0 }
    const onProgress = (bytes: number): void => {
      seenBytes.count += bytes
      if (seenBytes.count > 20_000) cancel.abort(remexError('CANCELLED', 'enough'))
    }
    const { error } = await move({ signal: cancel.signal, onProgress })
    expect(error?.code).toBe('CANCELLED')
    const names = Object.keys(await seen(to).catch(() => ({})))
    expect(names.filter((name) => name.includes('.remex-'))).toEqual([])
    const { tally, manifest } = await move()
    expect(tally.unchanged + manifest.size).toBe(2500)
    expect(await seen(to)).toEqual(await seen(from))
  })

  it('whose connection broke leaves a staging place that the next one removes', async () => {
    const { from, to, move } = await stage(direction)
    await plant(from, Object.fromEntries(Array.from({ length: 1500 }, (_, index) => [`f${index}`, `content ${index}`])))
    const renames = { count: 0 }
    const wrap: LocalHost['wrap'] = (channel) =>
      relayed(channel, {
        onRequest: (packet, relay) => {
          renames.count += 1
          if (renames.count < 40) return [packet]
          relay.cut()
          return []
        },
      })
    const first = await move({}, { wrap })
    const whole = direction === 'download' && first.error === undefined
    if (!whole) expect(first.error).toMatchObject({ code: 'CONNECTION_LOST' })
    expect((await move()).error).toBeUndefined()
    expect(await seen(to)).toEqual(await seen(from))
  })
})

describe.skipIf(sftpServerPath === undefined)('a tree', () => {
  it('fails once, and not with every file, where its root cannot be made', async () => {
    const { from, move } = await stage('upload')
    await plant(from, { a: '1', 'd/b': '2', 'd/c': '3' })
    const wrap: LocalHost['wrap'] = (channel) =>
      relayed(channel, {
        onRequest: (packet, relay) => {
          if (typeOf(packet) !== 14) return [packet]
          relay.reply(statusReply(packet, 3))
          return []
        },
      })
    const { error, tally } = await move({}, { wrap })
    expect(error).toMatchObject({ code: 'PERMISSION_DENIED', message: expect.stringMatching(/^vm01: cannot make the directory .*\/to: /) })
    expect(tally.failed).toBe(0)
  })

  it('goes on with the others where one file is refused, and tells which', async () => {
    const { from, to, move } = await stage('upload')
    await plant(from, { a: '1', b: '2', c: '3' })
    const wrap: LocalHost['wrap'] = (channel) =>
      relayed(channel, {
        onRequest: (packet, relay) => {
          if (typeOf(packet) !== 200 || !packet.includes('/to/b')) return [packet]
          relay.reply(statusReply(packet, 3))
          return []
        },
      })
    const { error, tally, manifest } = await move({}, { wrap })
    expect(error).toMatchObject({ code: 'PERMISSION_DENIED', message: expect.stringMatching(/of the tree, 1 failed: b: /) })
    expect(tally.failures).toMatchObject([{ path: 'b' }])
    expect(manifest.size).toBe(2)
    expect(await seen(to)).toEqual({ a: '1', c: '3' })
  })

  it('goes file by file where there can be no staging place', async () => {
    const { from, to, move } = await stage('upload')
    await plant(from, FILES)
    const wrap: LocalHost['wrap'] = (channel) =>
      relayed(channel, {
        onRequest: (packet, relay) => {
          if (typeOf(packet) !== 14 || !packet.includes('.remex-')) return [packet]
          relay.reply(statusReply(packet, 3))
          return []
        },
      })
    const { manifest } = await move({ rules: [{ effect: 'exclude', pattern: 'link' }, { effect: 'exclude', pattern: 'dangling' }] }, { wrap })
    expect(manifest.size).toBe(5)
    expect(Object.keys(await seen(to)).sort()).toEqual(['a.txt', 'big', 'empty', 'sub', 'sub/b.txt', 'sub/deep', 'sub/deep/er', 'sub/deep/er/c'])
  })

  it('sends a file across a mount point by itself, where no rename goes', async () => {
    const { from, to, move } = await stage('upload')
    await plant(from, { a: '1', b: '2' })
    const failed = { count: 0 }
    const wrap: LocalHost['wrap'] = (channel) =>
      relayed(channel, {
        onRequest: (packet, relay) => {
          if (typeOf(packet) !== 200 || !packet.includes('/to/b') || failed.count++ > 0) return [packet]
          relay.reply(statusReply(packet, 4))
          return []
        },
      })
    expect((await move({}, { wrap })).error).toBeUndefined()
    expect(await seen(to)).toEqual({ a: '1', b: '2' })
  })
})
