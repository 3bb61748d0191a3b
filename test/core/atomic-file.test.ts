import { execFile } from 'node:child_process'
import { chmod, chown, link, lstat, mkdir, mkdtemp, open, readdir, readFile } from 'node:fs/promises'
import { readlink, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ensurePrivateDir, localFileError, octal, writeFileAtomic } from '../../src/core/atomic-file.ts'
import { remexError } from '../../src/core/errors.ts'

const run = promisify(execFile)
const isRoot = process.getuid?.() === 0
let root = ''
let directory = ''
let path = ''

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'remex-atomic-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))
beforeEach(async () => {
  directory = await mkdtemp(join(root, 'case-'))
  path = join(directory, 'file')
})

const about = (text: string): unknown => expect.stringContaining(text)
const modeOf = async (file: string): Promise<number> => (await stat(file)).mode & 0o7777

describe('an atomic write', () => {
  it('makes a file for its owner alone', async () => {
    await writeFileAtomic(path, 'text\n')
    expect(await readFile(path, 'utf8')).toBe('text\n')
    expect(await modeOf(path)).toBe(0o600)
  })

  it('gives exactly the mode that is asked for, whatever the umask is', async () => {
    const umask = process.umask(0o077)
    try {
      await writeFileAtomic(path, '', { mode: 0o664 })
    } finally {
      process.umask(umask)
    }
    expect(await modeOf(path)).toBe(0o664)
  })

  it('writes bytes as they are, even many', async () => {
    const data = Buffer.alloc(5_000_000, 0xa5)
    await writeFileAtomic(path, data)
    expect((await readFile(path)).equals(data)).toBe(true)
  })

  it('replaces the file by another, so that who has the old one open reads it to its end', async () => {
    await writeFile(path, 'old')
    await link(path, join(directory, 'second-name'))
    const reader = await open(path)
    await writeFileAtomic(path, 'new')
    expect(await reader.readFile('utf8')).toBe('old')
    await reader.close()
    expect(await readFile(join(directory, 'second-name'), 'utf8')).toBe('old')
    expect(await readFile(path, 'utf8')).toBe('new')
  })

  it('leaves nothing beside the file', async () => {
    await writeFileAtomic(path, 'a')
    await writeFileAtomic(path, 'b')
    expect(await readdir(directory)).toEqual(['file'])
  })

  it('is never seen half done, however many write and read at once', async () => {
    const texts = Array.from({ length: 8 }, (_, number) => String(number).repeat(200_000))
    await writeFileAtomic(path, texts[0] ?? '')
    const seen: string[] = []
    await Promise.all(texts.map(async (text) => {
      await writeFileAtomic(path, text)
      seen.push(await readFile(path, 'utf8'))
    }))
    expect(seen.every((text) => texts.includes(text))).toBe(true)
    expect(await readdir(directory)).toEqual(['file'])
  })

  it('takes a name that is as long as names can be', async () => {
    path = join(directory, 'n'.repeat(255))
    await writeFileAtomic(path, 'text')
    expect(await readFile(path, 'utf8')).toBe('text')
  })

  it.skipIf(!isRoot)('keeps the owner of the file it replaces (only root can give files away)', async () => {
    await writeFile(path, 'old')
    await chown(path, 65_534, 65_533)
    await writeFileAtomic(path, 'new', { mode: 0o640 })
    expect(await stat(path)).toMatchObject({ uid: 65_534, gid: 65_533 })
    expect(await modeOf(path)).toBe(0o640)
  })
})

describe('an atomic write through a link', () => {
  it.each([
    ['with a relative target', 'target'],
    ['that goes up and down again', '../link-place/target'],
  ])('%s replaces the target and leaves the link', async (_sentence, text) => {
    const place = join(directory, 'link-place')
    await mkdir(place)
    await writeFile(join(place, 'target'), 'old')
    await symlink(text, join(place, 'link'))
    await writeFileAtomic(join(place, 'link'), 'new')
    expect(await readlink(join(place, 'link'))).toBe(text)
    expect(await readFile(join(place, 'target'), 'utf8')).toBe('new')
    expect((await lstat(join(place, 'target'))).isFile()).toBe(true)
  })

  it('makes the target where it is not there yet', async () => {
    await symlink(join(directory, 'target'), path)
    await writeFileAtomic(path, 'new')
    expect(await readFile(join(directory, 'target'), 'utf8')).toBe('new')
    expect((await lstat(path)).isSymbolicLink()).toBe(true)
  })

  it('follows links to links, and a relative link in a linked directory', async () => {
    await mkdir(join(directory, 'deep', 'real'), { recursive: true })
    await symlink('deep/real', join(directory, 'alias'))
    await symlink('../target', join(directory, 'deep', 'real', 'link'))
    await symlink('alias/link', path)
    await writeFileAtomic(path, 'new')
    expect(await readFile(join(directory, 'deep', 'target'), 'utf8')).toBe('new')
  })

  it('ends at a loop with an error', async () => {
    await symlink(path, path)
    await expect(writeFileAtomic(path, 'new')).rejects.toMatchObject({ message: about(path) })
  })
})

describe('an atomic write that fails', () => {
  it('says that the directory is not there', async () => {
    const nowhere = join(directory, 'nowhere', 'file')
    const message = `${nowhere}: no such file or directory`
    await expect(writeFileAtomic(nowhere, 'text')).rejects.toMatchObject({ code: 'LOCAL_NOT_FOUND', message })
  })

  it('refuses what is not a regular file, such as a device that all share', async () => {
    await mkdir(path)
    await run('mkfifo', [join(directory, 'fifo')])
    for (const odd of [path, join(directory, 'fifo'), '/dev/null']) {
      const before = await lstat(odd)
      await expect(writeFileAtomic(odd, 'text')).rejects.toMatchObject({ code: 'USAGE', message: about(odd) })
      expect((await lstat(odd)).ino).toBe(before.ino)
    }
  })

  it('says that there is no space, keeps the old file and leaves nothing beside it', async () => {
    // A limit on the size of files fails in the middle of a write, as a full disk does, and needs no privilege.
    const program = `
      import { writeFileAtomic } from ${JSON.stringify(join(root, 'atomic-file.mjs'))}
      process.on('SIGXFSZ', () => {})
      const write = writeFileAtomic(process.argv[2], Buffer.alloc(1_000_000))
      await write.then(() => console.log('written'), (error) => console.log(error.code + ' ' + error.message))
    `
    const { build } = await import('esbuild')
    const entry = join(import.meta.dirname, '../../src/core/atomic-file.ts')
    const outfile = join(root, 'atomic-file.mjs')
    await build({ entryPoints: [entry], bundle: true, platform: 'node', format: 'esm', outfile, logLevel: 'silent' })
    await writeFile(join(root, 'program.mjs'), program)
    await writeFile(path, 'old')
    const { stdout } = await run('sh', ['-c', 'ulimit -f 100; exec "$@"', 'sh', process.execPath, join(root, 'program.mjs'), path])
    expect(stdout).toBe(`NO_SPACE ${path}: file too large\n`)
    expect(await readFile(path, 'utf8')).toBe('old')
    expect(await readdir(directory)).toEqual(['file'])
  })

  it.each([
    ['ENOENT', 'LOCAL_NOT_FOUND'], ['ENOTDIR', 'LOCAL_NOT_FOUND'], ['EACCES', 'PERMISSION_DENIED'], ['EPERM', 'PERMISSION_DENIED'],
    ['EROFS', 'PERMISSION_DENIED'], ['ENOSPC', 'NO_SPACE'], ['EDQUOT', 'NO_SPACE'], ['EFBIG', 'NO_SPACE'], ['EIO', 'INTERNAL'],
  ])('has for %s the code %s, and the system’s words without its own temporary name', (code, expected) => {
    const error = Object.assign(new Error(`${code}: some words, open '/x/.remex-0.tmp'`), { code })
    expect(localFileError(error, '/x/a\nb')).toMatchObject({ code: expected, message: String.raw`/x/a\nb: some words`, cause: error })
  })

  it('passes on an error that is ours already', () => {
    const error = remexError('NO_SPACE', 'full')
    expect(localFileError(error, '/x')).toBe(error)
  })
})

describe('a private directory', () => {
  it('is made for its owner alone, with those above it', async () => {
    await ensurePrivateDir(join(directory, 'a', 'b', 'c'))
    expect(await Promise.all(['a', 'a/b', 'a/b/c'].map((name) => modeOf(join(directory, name))))).toEqual([0o700, 0o700, 0o700])
  })

  it('that is there stays as it is', async () => {
    await chmod(directory, 0o750)
    await ensurePrivateDir(directory)
    await ensurePrivateDir(directory)
    expect(await modeOf(directory)).toBe(0o750)
  })

  it('may be a link to a directory', async () => {
    await symlink(directory, path)
    await expect(ensurePrivateDir(path)).resolves.toBeUndefined()
  })

  it('is refused where everyone can replace what is in it, but not where the sticky bit forbids that', async () => {
    await chmod(directory, 0o777)
    await expect(ensurePrivateDir(directory)).rejects.toMatchObject({ code: 'PERMISSION_DENIED', message: about('mode 0777') })
    await chmod(directory, 0o1777)
    await expect(ensurePrivateDir(directory)).resolves.toBeUndefined()
  })

  it('is not made where a file is in its place or above it', async () => {
    await writeFile(path, '')
    for (const wanted of [path, join(path, 'below')]) {
      const refused = { code: 'PERMISSION_DENIED', message: about('a file is in its place') }
      await expect(ensurePrivateDir(wanted)).rejects.toMatchObject(refused)
    }
  })
})

describe('permission bits', () => {
  it.each([[0o644, '0644'], [0o100600, '0600'], [0o1777, '1777'], [0, '0000']])('of %o are shown as %s', (mode, text) => {
    expect(octal(mode)).toBe(text)
  })
})

describe('making directories', () => {
  it('is done by many at once, whoever comes first', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'remex-dirs-'))
    for (let round = 0; round < 50; round++) {
      const path = join(folder, String(round), 'a', 'b', 'c')
      await Promise.all(Array.from({ length: 8 }, () => ensurePrivateDir(path)))
    }
    await rm(folder, { recursive: true })
  })


  it('ends where a parent is there and takes no entries, as /proc', async () => {
    await expect(ensurePrivateDir('/proc/nope/audit')).rejects.toMatchObject({ code: expect.stringMatching(/LOCAL_NOT_FOUND|PERMISSION_DENIED/) })
  })
})
