import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { OpensshServer } from '../../testkit/openssh-server.ts'
import { failureOf } from '../failure-of.ts'
import { acceptedLogins, directoryOn, skipReason, startSshd } from './openssh-here.ts'
import { hostBlock, sshConfigFleet, type SshConfigFleet, type SshConfigPlan } from './ssh-config-fleet.ts'

const reason = skipReason('ssh', 'sshd')
const RELAY = `const [, , port, host] = process.argv
const socket = require('node:net').connect(Number(port), host)
process.stdin.pipe(socket).pipe(process.stdout)`

/** Unlike any default, so that what is told of it can be of no other server. */
const SPECIAL = { hostKeyKinds: ['ecdsa'], config: ['KexAlgorithms curve25519-sha256', 'Ciphers aes128-ctr', 'MACs hmac-sha2-512'] } as const

/** A way to a host, as the settings of ssh have it. */
interface Way {
  /** More lines for the host. */
  readonly lines: (folder: string) => readonly string[]
  readonly passesGate: boolean
}

const DIRECT: readonly (readonly [sentence: string, way: Way])[] = [
  ['by HostName, Port, User and IdentityFile', { lines: () => [], passesGate: false }],
  ['by a ProxyCommand that is ssh', { lines: (folder) => [`ProxyCommand ssh -F ${folder}/ssh_config -W %h:%p gate`], passesGate: true }],
  ['by a ProxyCommand that is a program', { lines: (folder) => [`ProxyCommand ${process.execPath} ${folder}/relay.cjs %p %h`], passesGate: false }],
]
const JUMP: readonly (readonly [sentence: string, way: Way])[] = [['by ProxyJump', { lines: () => ['ProxyJump gate'], passesGate: true }]]

describe.skipIf(reason !== '')(`a host that the settings of ssh lead to${reason}`, () => {
  let server: OpensshServer
  let gate: OpensshServer
  beforeAll(async () => {
    [server, gate] = await Promise.all([startSshd(SPECIAL), startSshd()])
  })
  afterAll(() => Promise.all([server.close(), gate.close()]))

  async function fleetBy({ lines }: Way, plan: Omit<SshConfigPlan, 'lines'> = {}): Promise<SshConfigFleet> {
    const all = (folder: string): readonly string[] => [...hostBlock('db', server, lines(folder)), ...hostBlock('gate', gate, [`UserKnownHostsFile ${gate.knownHostsPath}`])]
    const fleet = await sshConfigFleet(server, { lines: all, ...plan })
    await writeFile(join(fleet.folder, 'relay.cjs'), RELAY)
    return fleet
  }

  async function runsAndMoves(way: Way): Promise<void> {
    const before = (await acceptedLogins(gate)).length
    await using fleet = await fleetBy(way)
    const host = fleet.remex.host('vm01')
    expect(await host.run('echo "in as $USER"')).toMatchObject({ stdout: `in as ${server.login}\n`, engine: 'openssh' })
    await using there = await directoryOn(host)
    const [sent, back] = [join(fleet.folder, 'sent'), join(fleet.folder, 'back')]
    const bytes = randomBytes(300_000)
    await writeFile(sent, bytes)
    expect(await host.put(sent, `${there.path}/kept`)).toMatchObject({ verified: true, sizeBytes: bytes.length, engine: 'openssh' })
    expect(await host.get(`${there.path}/kept`, back)).toMatchObject({ verified: true, hostKey: server.hostKeys[0]?.fingerprint })
    expect((await readFile(back)).equals(bytes)).toBe(true)
    expect((await acceptedLogins(gate)).length - before).toBe(way.passesGate ? 1 : 0)
  }

  async function tellsOfItself(way: Way): Promise<void> {
    await using fleet = await fleetBy(way)
    expect(await fleet.remex.check('vm01')).toMatchObject({
      engine: 'openssh', engineReason: 'auto: ssh_config', kex: 'curve25519-sha256', cipher: 'aes128-ctr', mac: 'hmac-sha2-512', postQuantum: 'none',
      hostKey: { type: 'ecdsa-sha2-nistp256', fingerprint: server.hostKeys[0]?.fingerprint },
    })
  }

  it.each(DIRECT)('%s runs commands and moves files', (_sentence, way) => runsAndMoves(way))
  it.each(DIRECT)('%s tells of itself, and nothing of what is on the way', (_sentence, way) => tellsOfItself(way))

  it.each(JUMP)('%s runs commands and moves files', (_sentence, way) => runsAndMoves(way))
  it.each(JUMP)('%s tells of itself, and nothing of what is on the way', (_sentence, way) => tellsOfItself(way))

  it.each([...DIRECT, ...JUMP])('%s is refused where its key is not known, and not by the key of what is on the way', async (_sentence, way) => {
    await using fleet = await fleetBy(way, { knownHosts: gate.knownHosts })
    const before = await acceptedLogins(server)
    const error = await failureOf(fleet.remex.host('vm01').run('echo in'))
    expect(error).toMatchObject({ code: 'HOST_KEY_UNKNOWN', mayHaveRun: false, message: expect.stringContaining(server.hostKeys[0]?.fingerprint ?? 'no key') })
    expect(await acceptedLogins(server)).toEqual(before)
  })

  it.each(['false', '/nonexistent/program', 'echo no way >&2; exit 1;'])('with the ProxyCommand %s, which fails, is not reached, and nobody is said to be busy', async (command) => {
    await using fleet = await fleetBy({ lines: () => [`ProxyCommand ${command}`], passesGate: false })
    expect(await failureOf(fleet.remex.host('vm01').run('echo in'))).toMatchObject({ code: 'UNREACHABLE', mayHaveRun: false })
  })

  it('is not said to have refused the login where what is on the way did', async () => {
    const lines = (folder: string): readonly string[] => [
      ...hostBlock('db', server, [`ProxyCommand ssh -F ${folder}/ssh_config -W %h:%p gate`]),
      ...hostBlock('gate', { ...gate, privateKeyPath: server.privateKeyPath }, [`UserKnownHostsFile ${gate.knownHostsPath}`]),
    ]
    await using fleet = await sshConfigFleet(server, { lines })
    const error = await failureOf(fleet.remex.host('vm01').run('echo in'))
    expect(error.message).not.toContain(`the login as ${server.login}@${server.address}:${server.port} was refused`)
  })

  it.each<[sentence: string, vm01: (to: OpensshServer) => Record<string, unknown>, wrong: Partial<OpensshServer>]>([
    ['its own port before theirs', ({ port }) => ({ ip: 'db', ssh_config: true, ssh_port: port }), { port: 1 }],
    ['its own login before theirs', ({ login }) => ({ ip: 'db', ssh_config: true, ssh_user: login }), { login: 'somebody-else' }],
    ['its own address before theirs, where their name is given', ({ address }) => ({ ip: address, ssh_config: 'db' }), { address: '192.0.2.1' }],
    ['its own key before theirs', ({ privateKeyPath }) => ({ ip: 'db', ssh_config: true, identity_file: privateKeyPath }), { privateKeyPath: '/nonexistent/key' }],
  ])('is reached by %s', async (_sentence, vm01, wrong) => {
    await using fleet = await sshConfigFleet(server, { lines: () => hostBlock('db', { ...server, ...wrong }), vm01: vm01(server) })
    expect(await fleet.remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n', engine: 'openssh' })
  })

  it('is known by its HostKeyAlias where it has one', async () => {
    const lines = (): readonly string[] => hostBlock('db', server, ['HostKeyAlias db.internal'])
    const [key] = server.hostKeys
    await using fleet = await sshConfigFleet(server, { lines, knownHosts: `db.internal ${key?.type} ${key?.blob.toString('base64')}\n` })
    expect(await fleet.remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n' })
    await using byAddress = await sshConfigFleet(server, { lines })
    expect(await failureOf(byAddress.remex.host('vm01').run('echo in'))).toMatchObject({ code: 'HOST_KEY_UNKNOWN' })
  })

  it('with settings that ssh refuses is an error of the configuration that names the file', async () => {
    await using fleet = await sshConfigFleet(server, { lines: () => ['Host db', '  Frobnicate yes'] })
    expect(await failureOf(fleet.remex.host('vm01').run('echo in'))).toMatchObject({ code: 'CONFIG_INVALID', mayHaveRun: false, message: expect.stringContaining('ssh_config') })
  })
})
