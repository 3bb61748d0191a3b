import { spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished, type TestContext } from 'vitest'
import { makeKeyPair } from '../../testkit/keys.ts'
import { knownHostsFor, publicHostKey } from '../../testkit/ssh-server.ts'
import { findProgram } from '../../testkit/daemon.ts'
import { until } from '../../testkit/until.ts'
import { HostKeyPlace, nameOf, type KeyFile } from '../enrol/host-key-place.ts'
import { buildCommandLine, ended, Workshop } from './workshop.ts'

let shop: Workshop

beforeAll(buildCommandLine, 60_000)

beforeEach(async () => {
  shop = await Workshop.with(['vm01', 'vm02'], { trusted: false, hosts: { vm01: { role: 'db', groups: ['lab'] }, off: { ip: '10.0.0.9', enabled: false } } })
})

afterEach(async () => {
  await shop[Symbol.asyncDispose]()
})

const fingerprintOf = (id: string): string => shop.server(id).hostKeys[0]?.fingerprint ?? ''

describe('hosts list', () => {
  it('shows all hosts, disabled ones too, and with --json one object each', async () => {
    const { stdout } = await shop.call(['hosts', 'list'])
    expect(stdout).toMatch(/^HOST +ADDRESS +PORT +LOGIN +ROLE +GROUPS +STATE\n/)
    expect(stdout).toMatch(/^off +10\.0\.0\.9 +22 .* disabled$/m)
    const { rows } = await shop.call(['hosts', 'list', '@db', '--json'])
    expect(rows).toEqual([{ vm_id: 'vm01', name: '', address: '127.0.0.1', port: shop.server('vm01').port, login: 'tester', role: 'db', groups: ['lab'], enabled: true, state: 'usable' }])
  })
})

describe('hosts check', () => {
  it('refuses an unknown host key with its fingerprint and what to type: 125 for one host, 1 for several', async () => {
    const one = await shop.call(['hosts', 'check', 'vm01'])
    expect(one.status).toBe(125)
    expect(one.stderr).toContain(fingerprintOf('vm01'))
    expect(one.stderr).toContain('remex hosts trust vm01')
    expect((await shop.call(['hosts', 'check', 'vm01,vm02'])).status).toBe(1)
  })

  it('tells of a trusted host how it is connected', async () => {
    await writeFile(shop.path('known_hosts'), shop.server('vm01').knownHosts)
    const { status, stdout } = await shop.call(['hosts', 'check', 'vm01'])
    expect(status).toBe(0)
    expect(stdout).toMatch(/^vm01: ok, ssh2 \(auto\), \S+, ssh-ed25519 SHA256:\S+, \d+ ms\n$/)
    const [row] = (await shop.call(['hosts', 'check', 'vm01', '--json'])).rows
    expect(row).toMatchObject({ vm_id: 'vm01', success: true, engine: 'ssh2', host_key: fingerprintOf('vm01'), error: null })
    expect(shop.server('vm01').execs).toEqual([])
  })
})

describe('hosts trust without a terminal', () => {
  it('wants --fingerprint or --yes', async () => {
    const { status, stderr } = await shop.call(['hosts', 'trust', 'vm01'])
    expect(status).toBe(125)
    expect(stderr).toMatch(/--fingerprint .*--yes/)
    expect(await readFile(shop.path('known_hosts'), 'utf8')).toBe('')
  })

  it('trusts exactly the key of --fingerprint, once', async () => {
    expect((await shop.call(['hosts', 'trust', 'vm01', '--fingerprint', fingerprintOf('vm01')])).status).toBe(0)
    expect(await readFile(shop.path('known_hosts'), 'utf8')).toBe(shop.server('vm01').knownHosts)
    expect((await shop.call(['hosts', 'trust', 'vm01', '--fingerprint', fingerprintOf('vm01')])).stdout).toContain('nothing new')
    expect((await shop.call(['run', 'vm01', '--', 'echo', 'in'])).stdout).toBe('in\n')
  })

  it('trusts nothing where the host shows another key than that', async () => {
    const { status, stderr } = await shop.call(['hosts', 'trust', 'vm01', '--fingerprint', fingerprintOf('vm02')])
    expect(status).toBe(125)
    expect(stderr).toContain(fingerprintOf('vm01'))
    expect(stderr).toContain(fingerprintOf('vm02'))
    expect(await readFile(shop.path('known_hosts'), 'utf8')).toBe('')
  })

  it('trusts whoever answers with --yes', async () => {
    const { stdout } = await shop.call(['hosts', 'trust', 'vm01,vm02', '--yes'])
    expect(stdout).toContain(`vm01 ssh-ed25519 ${fingerprintOf('vm01')} (new)`)
    const { rows } = await shop.call(['hosts', 'trust', 'vm01,vm02', '--yes', '--json'])
    expect(rows).toEqual(['vm01', 'vm02'].map((id) => ({ vm_id: id, success: true, keys: [fingerprintOf(id)], added: 0, error: null })))
  })

  it.each([
    ['of the same type', 'ed25519'],
    ['of another type', 'ecdsa'],
  ] as const)('refuses a key that changed, where a key %s is known, showing both', async (_, kind) => {
    const old = publicHostKey(makeKeyPair(kind).privateKey)
    const text = knownHostsFor({ host: '127.0.0.1', port: shop.server('vm01').port }, [old])
    await writeFile(shop.path('known_hosts'), text)
    const { status, stdout, stderr } = await shop.call(['hosts', 'trust', 'vm01', '--yes'])
    expect(status).toBe(125)
    expect(stdout).toContain(`${fingerprintOf('vm01')} (changed)`)
    expect(stderr).toContain(fingerprintOf('vm01'))
    expect(stderr).toContain(old.fingerprint)
    expect(await readFile(shop.path('known_hosts'), 'utf8')).toBe(text)
  })

  it('shows old and new keys below each other, and with --json what was offered', async () => {
    const old = publicHostKey(makeKeyPair().privateKey)
    await writeFile(shop.path('known_hosts'), knownHostsFor({ host: '127.0.0.1', port: shop.server('vm01').port }, [old]))
    const { stdout } = await shop.call(['hosts', 'trust', 'vm01', '--yes'])
    expect(stdout).toBe(`vm01 ssh-ed25519 ${fingerprintOf('vm01')} (changed)\nvm01 ssh-ed25519 ${old.fingerprint} (known until now, ${shop.path('known_hosts')}:1)\n`)
    const { rows } = await shop.call(['hosts', 'trust', 'vm01', '--yes', '--json'])
    const error = expect.objectContaining({ code: 'HOST_KEY_CHANGED' }) as object
    expect(rows).toEqual([{ vm_id: 'vm01', success: false, keys: [], offered: [{ type: 'ssh-ed25519', fingerprint: fingerprintOf('vm01'), status: 'changed' }], error }])
  })

  it('asks nothing where the configuration has the key', async () => {
    await using pinned = await Workshop.with(['vm01'], { trusted: false })
    const { fingerprint: key, blob } = pinned.server('vm01').hostKeys[0] ?? { fingerprint: '', blob: Buffer.alloc(0) }
    const text = await readFile(pinned.path('config.yml'), 'utf8')
    await writeFile(pinned.path('config.yml'), text.replace('"ip":', `"host_key":"ssh-ed25519 ${blob.toString('base64')}","ip":`))
    const { status, stdout } = await pinned.call(['hosts', 'trust', 'vm01'])
    expect(stdout).toBe(`vm01 ssh-ed25519 ${key} (pinned)\nvm01: trusted from now on (1 new key)\n`)
    expect(status).toBe(0)
    expect(await readFile(pinned.path('known_hosts'), 'utf8')).toBe(pinned.server('vm01').knownHosts)
  })

  it.each([
    ['a fingerprint and an authority at once', ['vm01', '--ca', 'ca.pub', '--fingerprint', 'SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDYOBXaYvJkPEhJZ1E']],
    ['a fingerprint that is none', ['vm01', '--fingerprint', 'SHA256:short']],
    ['a fingerprint for several hosts', ['vm01,vm02', '--fingerprint', 'SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDYOBXaYvJkPEhJZ1E']],
  ])('refuses %s', async (_, words) => {
    expect((await shop.call(['hosts', 'trust', ...words, '--json'])).rows).toEqual([{ error: expect.objectContaining({ code: 'USAGE' }) as object }])
  })
})

describe.skipIf(!findProgram('script'))('on a terminal', () => {
  /** Runs the command line on a terminal of its own, which `script` makes, and types each answer after its question. */
  async function onTerminal(words: readonly string[], answers: readonly (readonly [question: string, answer: string])[], env: NodeJS.ProcessEnv = {}): Promise<{ status: number | null; text: string }> {
    const child = shop.startOnTerminal(words, env)
    const end = ended(child)
    let seen = ''
    child.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString()))
    for (const [question, answer] of answers) {
      await until(() => seen.includes(question), { what: `the question ${question}` })
      child.stdin?.write(answer)
    }
    const { status, stdout } = await end
    return { status, text: stdout }
  }

  it('hosts trust asks for each host, and only a yes is one', async () => {
    const { status, text } = await onTerminal(['hosts', 'trust', 'vm01,vm02'], [['key of vm01? [y/N]', 'y\r'], ['key of vm02? [y/N]', 'maybe\r']])
    expect(status).toBe(1)
    expect(text).toContain(`vm01 ssh-ed25519 ${fingerprintOf('vm01')} (new)`)
    expect(text).toContain('Trust this new key of vm01? [y/N]')
    expect(text).toContain('vm02: no key was trusted')
    expect(await readFile(shop.path('known_hosts'), 'utf8')).toBe(shop.server('vm01').knownHosts)
  })

  it('several hosts have colours, but not with --no-color or NO_COLOR', async () => {
    await shop.call(['hosts', 'trust', 'vm01,vm02', '--yes'])
    const words = ['run', 'vm01,vm02', '--', 'echo', 'x']
    expect((await onTerminal(words, [])).text).toContain('\u001b[36mvm01:\u001b[0m x')
    expect((await onTerminal([...words.slice(0, 2), '--no-color', ...words.slice(2)], [])).text).not.toContain('\u001b')
    expect((await onTerminal(words, [], { NO_COLOR: '1' })).text).not.toContain('\u001b')
  })

  it('a passphrase is asked for, and not shown', async () => {
    await shop.call(['hosts', 'trust', 'vm01', '--yes'])
    const { status } = spawnSync('ssh-keygen', ['-q', '-p', '-P', '', '-N', 'pass1234', '-f', shop.path('keys', 'id_ed25519_vm01')])
    expect(status).toBe(0)
    const { text } = await onTerminal(['run', 'vm01', '--', 'echo', 'logged', 'in'], [['Passphrase of ', 'pass12X\u007f34\r']])
    expect(text).toContain(`Passphrase of ${shop.path('keys', 'id_ed25519_vm01')}`)
    expect(text).toContain('logged in')
    expect(text).not.toContain('pass12')
    expect((await shop.call(['run', 'vm01', '--', 'true'])).stderr).toContain('REMEX_KEY_PASSPHRASE')
  })
})

describe('hosts forget', () => {
  it('takes the keys of the host out, with --yes or on a terminal', async () => {
    await writeFile(shop.path('known_hosts'), shop.server('vm01').knownHosts + shop.server('vm02').knownHosts)
    expect((await shop.call(['hosts', 'forget', 'vm01'])).status).toBe(125)
    const { status, stdout } = await shop.call(['hosts', 'forget', 'vm01', '--yes'])
    expect(status).toBe(0)
    expect(stdout).toContain(`vm01: forgot ssh-ed25519 ${fingerprintOf('vm01')}`)
    expect(await readFile(shop.path('known_hosts'), 'utf8')).toBe(shop.server('vm02').knownHosts)
    expect((await shop.call(['hosts', 'forget', 'vm01', '--yes'])).stdout).toBe('vm01: no key was known\n')
  })
})

describe.skipIf(!findProgram('sshd') || !findProgram('ssh-keygen'))('with certificates and several keys', () => {
  /** An sshd behind vm01, with a signed ed25519 key and an ecdsa key. */
  async function furnished(context: TestContext): Promise<{ place: HostKeyPlace; keys: readonly [KeyFile, KeyFile]; ca: KeyFile; line: (key: KeyFile) => string }> {
    const place = await HostKeyPlace.make()
    onTestFinished(() => place[Symbol.asyncDispose]())
    const [ca, first, second] = [await place.key('ca'), await place.key('first'), await place.key('second', 'ecdsa')]
    const server = await place.server(context, [first, second], [await place.sign(ca, first)])
    await writeFile(shop.path('keys', 'id_ed25519_vm01'), server.privateKey, { mode: 0o600 })
    const config = JSON.parse(await readFile(shop.path('config.yml'), 'utf8')) as { vms: Record<string, object> }
    config.vms['vm01'] = { ip: server.address, ssh_port: server.port, ssh_user: server.login }
    await writeFile(shop.path('config.yml'), JSON.stringify(config))
    return { place, keys: [first, second], ca, line: (key) => `${nameOf(server)} ${key.line}\n` }
  }

  it.skipIf(!findProgram('ssh'))('hosts trust --ca trusts what the authority signed, without asking', async (context) => {
    const { ca, keys: [first, second], line } = await furnished(context)
    const { status, stdout } = await shop.call(['hosts', 'trust', 'vm01', '--ca', `${ca.path}.pub`])
    expect(status).toBe(0)
    expect(stdout).toBe(`vm01 ssh-ed25519         ${first.fingerprint} (certified)\nvm01 ecdsa-sha2-nistp256 ${second.fingerprint} (not certified)\nvm01: trusted from now on (1 new key)\n`)
    expect(await readFile(shop.path('known_hosts'), 'utf8')).toBe(`@cert-authority ${line(ca)}${line(first)}`)
  })

  it('hosts rotate shows what it would change, changes it, and then has nothing to do', async (context) => {
    const { place, keys: [first, second], line } = await furnished(context)
    const gone = await place.key('gone', 'rsa')
    await writeFile(shop.path('known_hosts'), line(gone) + line(first))
    const dry = await shop.call(['hosts', 'rotate', 'vm01', '--dry-run'])
    expect(dry.stdout).toBe(`vm01: would add ecdsa-sha2-nistp256 ${second.fingerprint}\nvm01: would remove ssh-rsa ${gone.fingerprint} (${shop.path('known_hosts')}:1)\nvm01: would keep ssh-ed25519 ${first.fingerprint}\n`)
    const { rows, status } = await shop.call(['hosts', 'rotate', 'vm01', '--json'])
    const row = ({ key: { type }, fingerprint }: KeyFile): object => ({ type, fingerprint })
    expect(rows).toEqual([{ vm_id: 'vm01', success: true, added: [row(second)], removed: [{ ...row(gone), file: shop.path('known_hosts'), line: 1 }], kept: [row(first)], host_key: null, error: null }])
    expect(status).toBe(0)
    expect(await readFile(shop.path('known_hosts'), 'utf8')).toBe(line(first) + line(second))
    expect((await shop.call(['hosts', 'rotate', 'vm01'])).stdout).toBe('vm01: nothing to do, its 2 keys are known\n')
  })

  it('hosts rotate refuses a host that is not trusted', async (context) => {
    await furnished(context)
    const { status, rows } = await shop.call(['hosts', 'rotate', 'vm01', '--json'])
    expect(status).toBe(125)
    expect(rows).toEqual([{ vm_id: 'vm01', success: false, added: [], removed: [], kept: [], host_key: null, error: expect.objectContaining({ code: 'HOST_KEY_UNKNOWN' }) as object }])
  })
})
