import { once } from 'node:events'
import { access, readdir } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { listKeys } from '../../src/transport/openssh/agent-client.ts'
import { freePort } from '../../testkit/loopback.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import type { OpensshServer } from '../../testkit/openssh-server.ts'
import { startSecurityKeyAgent, type SecurityKeyAgent } from '../../testkit/security-key.ts'
import { startAgent } from '../../testkit/ssh-agent.ts'
import { failureOf } from '../failure-of.ts'
import { acceptedLogins, skipReason, startSshd } from './openssh-here.ts'
import { hostBlock, sshConfigFleet, type SshConfigFleet, type SshConfigPlan } from './ssh-config-fleet.ts'

const reason = skipReason('ssh', 'sshd')

/** Lines that would make ssh trust a host whose key we do not know. */
const TRUSTING: readonly (readonly [name: string, lines: (server: OpensshServer) => readonly string[]])[] = [
  ['StrictHostKeyChecking no', () => ['StrictHostKeyChecking no']],
  ['StrictHostKeyChecking accept-new', () => ['StrictHostKeyChecking accept-new']],
  ['UserKnownHostsFile', ({ knownHostsPath }) => [`UserKnownHostsFile ${knownHostsPath}`]],
  ['GlobalKnownHostsFile', ({ knownHostsPath }) => [`GlobalKnownHostsFile ${knownHostsPath}`]],
  ['KnownHostsCommand', ({ knownHostsPath }) => [`KnownHostsCommand /bin/cat ${knownHostsPath}`]],
  ['NoHostAuthenticationForLocalhost yes', () => ['NoHostAuthenticationForLocalhost yes']],
  ['VerifyHostKeyDNS yes', () => ['VerifyHostKeyDNS yes']],
  ['HostKeyAlias of another known host', () => ['HostKeyAlias known.example']],
]

/** Lines that are for other uses of ssh, and would get in the way of ours. */
const ODD: readonly (readonly [what: string, lines: readonly string[]])[] = [
  ['a command and a terminal', ['RemoteCommand echo theirs', 'RequestTTY force', 'EscapeChar none']],
  ['no session at all', ['SessionType none', 'StdinNull yes', 'ForkAfterAuthentication yes']],
  ['silence', ['LogLevel QUIET']],
  ['every word that ssh can say', ['LogLevel DEBUG3', 'VisualHostKey yes', 'FingerprintHash md5']],
  ['other ways to log in', ['PreferredAuthentications password', 'PubkeyAuthentication no', 'BatchMode no']],
  ['weak algorithms', ['Ciphers aes128-cbc', 'KexAlgorithms diffie-hellman-group1-sha1', 'Compression yes']],
  ['the agent and the display passed on', ['ForwardAgent yes', 'ForwardX11 yes', 'ForwardX11Trusted yes']],
  ['other known_hosts files', ['HashKnownHosts yes', 'UpdateHostKeys ask', 'CheckHostIP yes']],
  ['other times', ['ServerAliveInterval 1', 'ConnectTimeout 1', 'ConnectionAttempts 5']],
  ['a descriptor in place of a stream', ['ProxyUseFdpass yes']],
]

describe.skipIf(reason !== '')(`what the settings of ssh cannot do${reason}`, () => {
  let server: OpensshServer
  let agent: SecurityKeyAgent
  beforeAll(async () => {
    [server, agent] = await Promise.all([startSshd(), startSecurityKeyAgent()])
  })
  afterAll(() => Promise.all([server.close(), agent.close()]))

  const fleetWith = (lines: (folder: string) => readonly string[], plan: Omit<SshConfigPlan, 'lines'> = {}): Promise<SshConfigFleet> =>
    sshConfigFleet(server, { lines: (folder) => hostBlock('db', server, lines(folder)), ...plan })

  it.each(TRUSTING)('%s does not make a host trusted whose key is not known', async (_name, lines) => {
    await using fleet = await fleetWith(() => lines(server), { knownHosts: `known.example ${makeKeyPair().publicKey}\n` })
    const before = await acceptedLogins(server)
    const error = await failureOf(fleet.remex.host('vm01').run('echo in'))
    expect(error).toMatchObject({ code: expect.stringMatching(/^HOST_KEY_(?:UNKNOWN|CHANGED)$/), vmId: 'vm01', mayHaveRun: false })
    expect(error.message).toContain(server.hostKeys[0]?.fingerprint)
    expect(await acceptedLogins(server)).toEqual(before)
  })

  it.each(ODD)('%s does not change what a command is given', async (_what, lines) => {
    await using fleet = await fleetWith(() => lines, { env: { SSH_AUTH_SOCK: agent.socketPath, DISPLAY: ':0' } })
    const result = await fleet.remex.host('vm01').run('cat; test -t 0 || echo "no terminal, agent $SSH_AUTH_SOCK, display $DISPLAY"', { stdin: 'ours\n' })
    expect(result).toMatchObject({ exitCode: 0, stdout: 'ours\nno terminal, agent , display \n', stderr: '', engine: 'openssh' })
    expect(await fleet.remex.check('vm01')).toMatchObject({ hostKey: { fingerprint: server.hostKeys[0]?.fingerprint } })
  })

  it.each([
    ['LocalCommand', (folder: string) => ['PermitLocalCommand yes', `LocalCommand touch ${folder}/made`]],
    ['KnownHostsCommand', (folder: string) => [`KnownHostsCommand /usr/bin/touch ${folder}/made`]],
    ['RemoteCommand', (folder: string) => [`RemoteCommand touch ${folder}/made`]],
  ] as const)('%s runs nothing', async (_name, lines) => {
    await using fleet = await fleetWith(lines)
    expect(await fleet.remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n' })
    await expect(access(join(fleet.folder, 'made'))).rejects.toThrow(/ENOENT/)
  })

  it.each([
    ['LocalForward', (port: number) => `LocalForward ${port} 127.0.0.1:${server.port}`],
    ['RemoteForward', (port: number) => `RemoteForward ${port} 127.0.0.1:${server.port}`],
    ['DynamicForward', (port: number) => `DynamicForward ${port}`],
  ] as const)('%s opens no port while the connection is open', async (_name, line) => {
    const port = await freePort()
    await using fleet = await fleetWith(() => [line(port), 'ExitOnForwardFailure yes', 'GatewayPorts yes'])
    expect(await fleet.remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n' })
    const [error] = (await once(connect(port, '127.0.0.1').on('error', () => undefined), 'error')) as [{ code: string }]
    expect(error.code).toBe('ECONNREFUSED')
    // The same connection still serves: it is the one that has no ports.
    expect(await fleet.remex.host('vm01').run('echo on')).toMatchObject({ stdout: 'on\n' })
  })

  it('ControlPath is neither asked for a connection nor made', async () => {
    await using fleet = await fleetWith((folder) => ['ControlMaster auto', `ControlPath ${folder}/control`, 'ControlPersist yes'])
    const path = join(fleet.folder, 'control')
    expect(await fleet.remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n' })
    expect((await readdir(fleet.folder)).filter((name) => name.startsWith('control'))).toEqual([])
    let asked = 0
    const master = createServer((socket) => {
      asked++
      socket.destroy()
    }).listen(path)
    await once(master, 'listening')
    await using other = await sshConfigFleet(server, { lines: () => hostBlock('db', server, ['ControlMaster no', `ControlPath ${path}`]) })
    expect(await other.remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n' })
    master.close()
    expect(asked).toBe(0)
  })

  it('AddKeysToAgent leaves the agent as it was', async (context) => {
    const own = await startAgent([])
    if ('skipped' in own) return context.skip(own.skipped)
    context.onTestFinished(() => own.close())
    await using fleet = await fleetWith(() => ['AddKeysToAgent yes'], { env: { SSH_AUTH_SOCK: own.socketPath } })
    expect(await fleet.remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n' })
    expect(await listKeys(own.socketPath)).toEqual([])
  })

  it('they do not count at all for a host without ssh_config, whichever engine serves it', async () => {
    const vm01 = { ip: server.address, ssh_port: server.port, ssh_user: server.login, identity_file: server.privateKeyPath, engine: 'openssh' }
    await using fleet = await sshConfigFleet(server, { lines: () => ['Host *', '  ProxyCommand false', '  User nobody', '  Port 1', '  Frobnicate yes'], vm01 })
    expect(await fleet.remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n', engine: 'openssh' })
  })
})
