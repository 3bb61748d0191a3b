import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fingerprint, formatHostKey } from '../../src/core/host-key.ts'
import { lookupName, matchesNames } from '../../src/keys/host-names.ts'
import { knownHostsLines } from '../../src/keys/known-hosts-line.ts'
import { HostKeyStore, type HostKeyVerdict } from '../../src/keys/known-hosts.ts'
import { hashedName, sampleHostKey } from './host-key-samples.ts'
import { CASES, KEYS } from './known-hosts-cases.ts'
import { hasSshKeygen } from './ssh-keygen.ts'

const run = promisify(execFile)
const a = formatHostKey(KEYS.a)
const b = formatHostKey(KEYS.b)
let directory = ''

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'remex-known-hosts-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

function shortForm(verdict: HostKeyVerdict): string {
  return 'line' in verdict ? `${verdict.kind} ${verdict.line}` : verdict.kind
}

describe('a known_hosts file', () => {
  it.each(CASES)('$sentence', ({ text, address, port, expected }) => {
    const store = HostKeyStore.parse('known_hosts', text)
    expect(shortForm(store.check(address, port, KEYS.a))).toBe(expected)
  })

  it.skipIf(!hasSshKeygen).each(CASES.filter((row) => row.notAsked === undefined))(
    'names the host on the same lines as for ssh-keygen -F where $sentence',
    async ({ text, address, port }) => {
      const file = join(await mkdtemp(join(directory, 'case-')), 'known_hosts')
      await writeFile(file, Buffer.from(text, 'latin1'))
      const name = lookupName({ address, port })
      const { stdout } = await run('ssh-keygen', ['-l', '-F', Buffer.from(name, 'latin1').toString(), '-f', file]).catch(
        (error: unknown) => error as { stdout: string },
      )
      const theirs = [...stdout.matchAll(/found: line (\d+)/g)].map((found) => Number(found[1]))
      const ours = [...knownHostsLines(text)].filter(({ line }) => line.kind === 'entry' && matchesNames(line.names, name))
      expect(ours.map(({ number }) => number)).toEqual(theirs)
    },
  )
})

describe('a host key store', () => {
  const check = (text: string, host: string, key = KEYS.a): HostKeyVerdict => HostKeyStore.parse('kh', text).check(host, 22, key)

  it('names all known keys of a changed host, those of the same type first', () => {
    const verdict = check(`vm01 ${formatHostKey(KEYS.rsa)}\nvm01 ${b}\n`, 'vm01')
    expect(verdict).toEqual({
      kind: 'changed',
      known: [
        { file: 'kh', line: 2, type: 'ssh-ed25519', fingerprint: fingerprint(KEYS.b.blob) },
        { file: 'kh', line: 1, type: 'ssh-rsa', fingerprint: fingerprint(KEYS.rsa.blob) },
      ],
    })
  })

  it('names the lines of certificate authorities for an unknown host', () => {
    expect(check(`@cert-authority *.org ${b}\n@cert-authority vm* ${b}\n`, 'vm01')).toEqual({
      kind: 'unknown',
      certAuthorities: [{ file: 'kh', line: 2 }],
    })
  })

  it('counts malformed lines and says where the first is', () => {
    const store = HostKeyStore.parse('kh', `# fine\nvm01 nonsense\n\n@what vm01 ${a}\nvm01 ${a}\n`)
    expect(store.malformed).toEqual({ count: 2, first: { file: 'kh', line: 2 } })
  })

  it('knows the types of a host in the order of the file, each once, without revoked keys', () => {
    const { rsa, ecdsa } = KEYS
    const lines = [rsa, KEYS.a, KEYS.b, ecdsa].map((key) => `vm01 ${formatHostKey(key)}\n`).join('')
    expect(HostKeyStore.parse('kh', lines).knownTypes('vm01', 22)).toEqual(['ssh-rsa', 'ssh-ed25519', 'ecdsa-sha2-nistp256'])
    const revoked = `${lines}@revoked * ${formatHostKey(rsa)}\n@revoked * ${a}\n`
    expect(HostKeyStore.parse('kh', revoked).knownTypes('vm01', 22)).toEqual(['ssh-ed25519', 'ecdsa-sha2-nistp256'])
  })

  it('knows the types of a port by those of port 22 only where it has none of its own', () => {
    const text = `vm01 ${formatHostKey(KEYS.rsa)}\n`
    expect(HostKeyStore.parse('kh', text).knownTypes('vm01', 2222)).toEqual(['ssh-rsa'])
    expect(HostKeyStore.parse('kh', `${text}[vm01]:2222 ${a}\n`).knownTypes('vm01', 2222)).toEqual(['ssh-ed25519'])
  })

  it('gives the same verdict when it is asked twice', () => {
    const store = HostKeyStore.parse('kh', `${hashedName('vm01')} ${a}\n`)
    expect(store.check('vm01', 22, KEYS.a)).toEqual(store.check('vm01', 22, KEYS.a))
    expect(store.check('vm01', 22, KEYS.b).kind).toBe('changed')
  })

  it('is not deceived by a key that only begins like the known one', () => {
    const longer = { type: KEYS.a.type, blob: Buffer.concat([KEYS.a.blob, Buffer.of(0)]) }
    expect(check(`vm01 ${a}\n`, 'vm01', longer).kind).toBe('changed')
  })
})

describe('loading known_hosts files', () => {
  it('takes a file that is not there as empty', async () => {
    const store = await HostKeyStore.load([join(directory, 'nowhere', 'known_hosts')])
    expect(store.check('vm01', 22, KEYS.a)).toEqual({ kind: 'unknown', certAuthorities: [] })
  })

  it('reads all files, and a revocation in any of them wins', async () => {
    const [first, second, third] = ['first', 'second', 'third'].map((name) => join(directory, name))
    await writeFile(first ?? '', `vm02 ${b}\n`)
    await writeFile(second ?? '', `vm01 ${a}\n`)
    await writeFile(third ?? '', `@revoked * ${a}\n`)
    const some = await HostKeyStore.load([first ?? '', second ?? ''])
    expect(some.check('vm01', 22, KEYS.a)).toEqual({ kind: 'trusted', file: second, line: 1 })
    const all = await HostKeyStore.load([first ?? '', second ?? '', third ?? ''])
    expect(all.check('vm01', 22, KEYS.a)).toEqual({ kind: 'revoked', file: third, line: 1 })
  })

  it('refuses a directory, a FIFO, a loop of links and a file over 16 MiB instead of taking them as empty', async () => {
    const place = await mkdtemp(join(directory, 'odd-'))
    await mkdir(join(place, 'directory'))
    await run('mkfifo', [join(place, 'fifo')])
    await symlink(join(place, 'loop'), join(place, 'loop'))
    await writeFile(join(place, 'large'), '')
    await truncate(join(place, 'large'), 16 * 1024 * 1024 + 1)
    for (const name of ['directory', 'fifo', 'loop', 'large']) {
      const path = join(place, name)
      const refused = { code: 'CONFIG_INVALID', message: expect.stringContaining(path) as unknown }
      await expect(HostKeyStore.load([path]), name).rejects.toMatchObject(refused)
    }
  })

  it('reads a file whose size is not known in advance', async () => {
    await expect(HostKeyStore.load(['/proc/self/status'])).resolves.toMatchObject({ malformed: { first: { line: 1 } } })
  })
})

describe('a hostile known_hosts file', () => {
  const size = 10 * 1024 * 1024
  it.each([
    ['random bytes', () => randomText(size)],
    ['nothing but newlines', () => '\n'.repeat(size)],
    ['one line without an end', () => 'x'.repeat(size)],
    ['one list of ten million commas', () => `${','.repeat(size)} ${a}`],
    ['patterns that make a backtracking matcher explode', () => `${'*a'.repeat(500)}b ${a}\n`.repeat(size / 1100)],
    ['hashed names', () => `${hashedName('vm99')} ${a}\n`.repeat(size / 150)],
    ['lines of two characters', () => 'x\n'.repeat(size / 2)],
  ])('of 10 MiB is read and searched in bounded time: %s', { timeout: 30_000 }, (_what, text) => {
    const content = text()
    const startMs = performance.now()
    const store = HostKeyStore.parse('kh', content)
    expect(store.check('a'.repeat(60), 22, sampleHostKey()).kind).toBe('unknown')
    expect(performance.now() - startMs).toBeLessThan(15_000)
  })

  function randomText(length: number): string {
    // A linear congruential generator: the same bytes in every run.
    const bytes = Buffer.alloc(length)
    let state = 1
    for (let index = 0; index < length; index++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
      bytes[index] = state >>> 24
    }
    return bytes.toString('latin1')
  }
})

describe.skipIf(!hasSshKeygen)('the samples of these tests', () => {
  it('have the fingerprints that ssh-keygen -l shows', async () => {
    for (const [name, key] of Object.entries(KEYS)) {
      const path = join(directory, `${name}.pub`)
      await writeFile(path, `${formatHostKey(key)}\n`)
      const { stdout } = await run('ssh-keygen', ['-l', '-f', path])
      expect(stdout).toContain(` ${fingerprint(key.blob)} `)
    }
  })

  it('are found after ssh-keygen -H has hashed their names', async () => {
    const path = join(directory, 'to-hash')
    const names = ['vm01', '[vm01]:2222', '2001:db8::1', '10.0.0.10']
    await writeFile(path, names.map((name) => `${name} ${a}\n`).join(''))
    await run('ssh-keygen', ['-H', '-f', path])
    const store = await HostKeyStore.load([path])
    const hosts = [['vm01', 22], ['vm01', 2222], ['2001:db8::1', 22], ['10.0.0.10', 22]] as const
    expect(hosts.map(([address, port]) => shortForm(store.check(address, port, KEYS.a)))).toEqual(hosts.map((_, at) => `trusted ${at + 1}`))
    expect(store.check('vm02', 22, KEYS.a).kind).toBe('unknown')
  })
})
