import { execFile } from 'node:child_process'
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { formatHostKey, hostKeyFromBlob, type HostKey } from '../../src/core/host-key.ts'
import { forgetHostKeys, trustHostKeys } from '../../src/keys/enrol-host-key.ts'
import { HostKeyStore } from '../../src/keys/known-hosts.ts'
import { bundle } from './bundle.ts'
import { hashedName, sampleHostKey, wireString } from './host-key-samples.ts'
import { hasSshKeygen } from './ssh-keygen.ts'

const run = promisify(execFile)
const a = sampleHostKey()
const b = sampleHostKey()
const rsa = sampleHostKey('rsa')
const line = formatHostKey
const vm01 = { address: 'vm01', port: 22 }

let root = ''
let directory = ''
let path = ''

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'remex-enrol-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))
beforeEach(async () => {
  directory = await mkdtemp(join(root, 'case-'))
  path = join(directory, 'known_hosts')
})

const about = (text: string): unknown => expect.stringContaining(text)
const text = (): Promise<string> => readFile(path, 'utf8')
const modeOf = async (file: string): Promise<number> => (await stat(file)).mode & 0o777

describe('trusting host keys', () => {
  it('makes the file for its owner alone, and the directories above it', async () => {
    path = join(directory, 'state', 'remex', 'known_hosts')
    expect(await trustHostKeys(path, { ...vm01, keys: [a, rsa] })).toEqual([a, rsa])
    expect(await text()).toBe(`vm01 ${line(a)}\nvm01 ${line(rsa)}\n`)
    expect(await modeOf(path)).toBe(0o600)
    expect(await Promise.all(['state', 'state/remex'].map((name) => modeOf(join(directory, name))))).toEqual([0o700, 0o700])
  })

  it('writes names as OpenSSH looks them up', async () => {
    await trustHostKeys(path, { address: 'VM01', port: 2222, keys: [a] })
    await trustHostKeys(path, { address: '2001:DB8:0::1', port: 22, keys: [a] })
    await trustHostKeys(path, { address: '2001:DB8:0::1', port: 2222, keys: [a] })
    expect((await text()).split('\n').map((entry) => entry.split(' ')[0])).toEqual(['[vm01]:2222', '2001:db8::1', '[2001:db8::1]:2222', ''])
  })

  it('makes the store trust the keys for this host and port, and no other', async () => {
    await trustHostKeys(path, { address: 'bücher.example', port: 2222, keys: [a] })
    const store = await HostKeyStore.load([path])
    expect(store.check('bücher.example', 2222, a).kind).toBe('trusted')
    expect(store.check('bücher.example', 22, a).kind).toBe('unknown')
    expect(store.check('bücher.example', 2222, b).kind).toBe('changed')
  })

  it('adds only what is not there, however often it is repeated', async () => {
    expect(await trustHostKeys(path, { ...vm01, keys: [a, a] })).toEqual([a])
    expect(await trustHostKeys(path, { ...vm01, keys: [a, b] })).toEqual([b])
    expect(await trustHostKeys(path, { ...vm01, keys: [b, a] })).toEqual([])
    expect(await text()).toBe(`vm01 ${line(a)}\nvm01 ${line(b)}\n`)
  })

  it.each([
    ['among other names', `vm00,VM01 ${line(a)}\n`],
    ['under a hashed name', `${hashedName('vm01')} ${line(a)}\n`],
    ['under a pattern', `vm* ${line(a)}\n`],
  ])('does not add a key that is there %s', async (_where, before) => {
    await writeFile(path, before)
    expect(await trustHostKeys(path, { ...vm01, keys: [a] })).toEqual([])
    expect(await text()).toBe(before)
  })

  it('adds a key that is known only at port 22 for another port, or a second key would make it changed', async () => {
    await writeFile(path, `vm01 ${line(a)}\n`)
    expect(await trustHostKeys(path, { address: 'vm01', port: 2222, keys: [a, b] })).toEqual([a, b])
  })

  it('ends the last line where it has no newline', async () => {
    await writeFile(path, `vm02 ${line(b)}`)
    await trustHostKeys(path, { ...vm01, keys: [a] })
    expect(await text()).toBe(`vm02 ${line(b)}\nvm01 ${line(a)}\n`)
  })

  it('keeps every other byte, and the mode of the file', async () => {
    const before = Buffer.from(`# caf\xe9\r\n\n  @@ nonsense\0\nvm02 ${line(b)} c\r\n\xff\xfe\n`, 'latin1')
    await writeFile(path, before)
    await chmod(path, 0o644)
    await trustHostKeys(path, { ...vm01, keys: [a] })
    expect(await readFile(path)).toEqual(Buffer.concat([before, Buffer.from(`vm01 ${line(a)}\n`)]))
    expect(await modeOf(path)).toBe(0o644)
  })

  it('writes through a link and leaves the link', async () => {
    const target = join(directory, 'dotfiles')
    await symlink('dotfiles', path)
    await trustHostKeys(path, { ...vm01, keys: [a] })
    expect(await readlink(path)).toBe('dotfiles')
    expect(await readFile(target, 'utf8')).toBe(`vm01 ${line(a)}\n`)
  })

  it('leaves nothing but the file behind', async () => {
    await trustHostKeys(path, { ...vm01, keys: [a] })
    await forgetHostKeys(path, vm01)
    expect(await readdir(directory)).toEqual(['known_hosts'])
  })

  it('refuses a key that the file revokes for the host, and writes nothing', async () => {
    const before = `@revoked * ${line(a)}\n`
    await writeFile(path, before)
    await expect(trustHostKeys(path, { ...vm01, keys: [b, a] })).rejects.toMatchObject({
      code: 'HOST_KEY_REVOKED',
      message: about(`${path}:1`),
    })
    expect(await text()).toBe(before)
  })

  it.each<[string, string, HostKey]>([
    ['an address that would begin a second line', `vm01 ${line(b)}\n*`, a],
    ['an address that is a pattern', '*', a],
    ['a key whose type is another than its blob says', 'vm01', { type: 'ssh-rsa', blob: a.blob }],
    ['a key whose type would end the line', 'vm01', { type: 'ssh-ed25519\n* ', blob: a.blob }],
  ])('refuses %s', async (_what, address, key) => {
    await expect(trustHostKeys(path, { address, port: 22, keys: [key] })).rejects.toMatchObject({ code: 'USAGE' })
    expect(await readdir(directory)).toEqual([])
  })

  it('refuses to replace what is not a regular file', async () => {
    await mkdir(path)
    await expect(trustHostKeys(path, { ...vm01, keys: [a] })).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    expect((await lstat(path)).isDirectory()).toBe(true)
  })

  it('says so where the directory cannot be made', async () => {
    await writeFile(path, 'a file')
    await expect(trustHostKeys(join(path, 'known_hosts'), { ...vm01, keys: [a] })).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
  })

  it.skipIf(!hasSshKeygen)('writes what ssh-keygen -F finds', async () => {
    await trustHostKeys(path, { address: '2001:db8::1', port: 2222, keys: [a, rsa] })
    const { stdout } = await run('ssh-keygen', ['-l', '-F', '[2001:db8::1]:2222', '-f', path])
    expect(stdout.match(/found: line/g)).toHaveLength(2)
  })
})

describe('forgetting host keys', () => {
  it.each([
    ['a line that names the host alone goes', `vm01 ${line(a)}\nvm02 ${line(b)}\n`, `vm02 ${line(b)}\n`, [1]],
    ['a line with other names keeps them', `vm00,VM01,10.0.0.10 ${line(a)} comment\n`, `vm00,10.0.0.10 ${line(a)} comment\n`, [1]],
    ['every line of the host goes', `vm01 ${line(a)}\n# kept\nvm01 ${line(rsa)}\n`, '# kept\n', [1, 3]],
    ['a line with the same key for another host stays', `vm02 ${line(a)}\nvm01 ${line(a)}\n`, `vm02 ${line(a)}\n`, [2]],
    ['a last line without its newline goes', `vm02 ${line(b)}\nvm01 ${line(a)}`, `vm02 ${line(b)}\n`, [2]],
    ['a line with CR LF keeps it', `vm00,vm01 ${line(a)}\r\n`, `vm00 ${line(a)}\r\n`, [1]],
    ['a line is kept as it was written but for the name', `\tvm01,vm00\t${line(a)}  x \n`, `\tvm00\t${line(a)}  x \n`, [1]],
    ['a pattern that matches stays', `vm*,vm01 ${line(a)}\n`, `vm* ${line(a)}\n`, [1]],
    ['revoked keys stay revoked', `@revoked vm01 ${line(a)}\nvm01 ${line(b)}\n`, `@revoked vm01 ${line(a)}\n`, [2]],
    ['certificate authorities stay', `@cert-authority vm01 ${line(a)}\nvm01 ${line(b)}\n`, `@cert-authority vm01 ${line(a)}\n`, [2]],
    ['malformed lines stay', `vm01 nonsense\nvm01 ${line(a)}\n`, 'vm01 nonsense\n', [2]],
    ['the host at another port stays', `[vm01]:2222 ${line(a)}\nvm01 ${line(b)}\n`, `[vm01]:2222 ${line(a)}\n`, [2]],
  ])('%s', async (_sentence, before, after, lines) => {
    await writeFile(path, before)
    const removed = await forgetHostKeys(path, vm01)
    expect(await text()).toBe(after)
    expect(removed.map((known) => known.line)).toEqual(lines)
  })

  it('takes out a hashed line of the host and leaves those of others', async () => {
    const others = `${hashedName('vm02')} ${line(b)}\n`
    await writeFile(path, `${hashedName('vm01')} ${line(a)}\n${others}`)
    expect(await forgetHostKeys(path, vm01)).toEqual([{ file: path, line: 1, key: a }])
    expect(await text()).toBe(others)
  })

  it('takes the host out of several files, and passes over those that are not there or do not name it', async () => {
    const other = join(directory, 'other')
    await writeFile(path, `vm01 ${line(a)}\n`)
    await writeFile(other, `vm02 ${line(a)}\n`)
    const before = await stat(other)
    const removed = await forgetHostKeys([join(directory, 'nowhere'), other, path], vm01)
    expect(removed).toEqual([{ file: path, line: 1, key: a }])
    expect((await stat(other)).ino).toBe(before.ino)
  })

  it('forgets what was trusted, and nothing else', async () => {
    const host = fc.record({ address: fc.constantFrom('vm01', 'vm02', '::1'), port: fc.constantFrom(22, 2222) })
    await fc.assert(
      fc.asyncProperty(fc.array(host, { maxLength: 5 }), host, async (hosts, gone) => {
        await rm(path, { force: true })
        for (const each of hosts) await trustHostKeys(path, { ...each, keys: [a] })
        await forgetHostKeys(path, gone)
        const store = await HostKeyStore.load([path])
        const isGone = (each: typeof gone): boolean => each.address === gone.address && each.port === gone.port
        for (const each of hosts) expect(store.named(each)).toHaveLength(isGone(each) ? 0 : 1)
      }),
      { numRuns: 25 },
    )
  })

  it('refuses an unreadable file instead of passing over it', async () => {
    await mkdir(path)
    await expect(forgetHostKeys(path, vm01)).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
  })
})

describe('processes that enrol at once', () => {
  const PROCESSES = 8
  const KEYS_EACH = 10

  /** Key `number` of `process`: any 32 bytes are an Ed25519 key as far as a known_hosts file goes. */
  function numberedKey(process: number, number: number): HostKey | undefined {
    const fields = [Buffer.from('ssh-ed25519'), Buffer.alloc(32, process * KEYS_EACH + number)]
    return hostKeyFromBlob(Buffer.concat(fields.map(wireString)))
  }

  const PROGRAM = `
    import { hostKeyFromBlob } from '../../src/core/host-key.ts'
    import { forgetHostKeys, trustHostKeys } from '../../src/keys/enrol-host-key.ts'
    const [path, id, ...blobs] = process.argv.slice(2)
    for (const [index, blob] of blobs.entries()) {
      await trustHostKeys(path, { address: 'vm' + id + '-' + index, port: 22, keys: [hostKeyFromBlob(Buffer.from(blob, 'base64'))] })
      await forgetHostKeys(path, { address: 'old' + id + '-' + index, port: 22 })
    }
  `

  it('lose no line, neither of those they add nor of those they remove', { timeout: 60_000 }, async () => {
    const program = await bundle(PROGRAM)
    const ids = Array.from({ length: PROCESSES }, (_, id) => id)
    const numbers = Array.from({ length: KEYS_EACH }, (_, number) => number)
    const old = ids.flatMap((id) => numbers.map((number) => `old${id}-${number},kept${id}-${number} ${line(a)}\n`)).join('')
    await writeFile(path, old)
    try {
      await Promise.all(
        ids.map((id) => {
          const blobs = numbers.map((number) => numberedKey(id, number)?.blob.toString('base64') ?? '')
          return run(process.execPath, [program.path, path, String(id), ...blobs])
        }),
      )
    } finally {
      await program.remove()
    }
    const store = await HostKeyStore.load([path])
    for (const id of ids) {
      for (const number of numbers) {
        expect(store.named({ address: `vm${id}-${number}`, port: 22 }).map(({ key }) => key)).toEqual([numberedKey(id, number)])
        expect(store.named({ address: `kept${id}-${number}`, port: 22 })).toHaveLength(1)
        expect(store.named({ address: `old${id}-${number}`, port: 22 })).toEqual([])
      }
    }
    expect((await text()).split('\n')).toHaveLength(2 * PROCESSES * KEYS_EACH + 1)
    expect(await readdir(directory)).toEqual(['known_hosts'])
  })
})
