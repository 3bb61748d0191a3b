import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { HostConfig } from '../../src/config/types.ts'
import type { Identity } from '../../src/core/identity.ts'
import { judgeConnection } from '../../src/enrol/doctor/connection-judgements.ts'
import type { Finding } from '../../src/enrol/doctor/finding.ts'
import { sshCheck, type SshNeeds } from '../../src/enrol/doctor/ssh-check.ts'
import { formatHostKey, parseHostKey } from '../../src/core/host-key.ts'
import type { Remex } from '../../src/remex.ts'
import type { ConnectionInfo } from '../../src/transport/contract.ts'
import { askProgram } from '../../src/transport/openssh/program.ts'
import { findProgram } from '../../testkit/daemon.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import { startOpensshServer, type OpensshServer } from '../../testkit/openssh-server.ts'
import { startSshServer } from '../../testkit/ssh-server.ts'
import { fleetOf } from '../interop/fleet-of.ts'
import { signKey } from '../keys/certificate-samples.ts'

const sshd = await startOpensshServer()
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'remex-doctor-ssh-'))
})

afterAll(async () => {
  await rm(folder, { recursive: true })
  if (!('skipped' in sshd)) await sshd.close()
})

const HOST: HostConfig = {
  id: 'vm01', name: '', address: '10.0.0.1', port: 22, login: 'operator', role: '', enabled: true, groups: [], hostKeys: [],
  identityFile: undefined, identityCertificate: undefined, sshConfig: undefined, jump: undefined, engine: 'auto', sudo: false,
}
const KEY: Identity = { kind: 'key', label: 'id', data: Buffer.alloc(0) }
const SSH_CONFIG = { alias: 'db', ownsPort: false, ownsLogin: false, ownsAddress: false }
const NEEDS: SshNeeds = { host: HOST, settings: { requirePostQuantum: false }, identities: [KEY], hasAuthority: false }

/** What is on the PATH: an `ssh` that says this of itself. */
async function pathWith(version: string): Promise<string> {
  const directory = await mkdtemp(join(folder, 'bin-'))
  await writeFile(join(directory, 'ssh'), `#!/bin/sh\n[ "$1" = -V ] && echo '${version}' >&2 || echo curve25519-sha256\n`)
  await chmod(join(directory, 'ssh'), 0o755)
  return directory
}

describe('what the doctor says of this machine’s ssh', () => {
  const openssh: SshNeeds = { ...NEEDS, host: { ...HOST, engine: 'openssh' } }
  const another: SshNeeds = { ...NEEDS, host: { ...HOST, id: 'vm02', sshConfig: SSH_CONFIG } }
  const quantum: SshNeeds = { ...NEEDS, settings: { requirePostQuantum: true } }
  const TOO_OLD = 'the engine openssh needs the ssh of OpenSSH 7.4 or later, and it is OpenSSH 7.3'

  it.each<readonly [sentence: string, version: string | undefined, needs: readonly SshNeeds[], status: string, message: string, hint: RegExp | null]>([
    ['its version', 'OpenSSH_9.2p1', [NEEDS], 'ok', 'OpenSSH 9.2, which no host needs', null],
    ['which hosts need it, and what for', 'OpenSSH_9.2p1', [openssh, another, { ...NEEDS, host: { ...HOST, id: 'vm03' } }], 'ok', 'OpenSSH 9.2, which vm[01-02] need (engine: openssh, ssh_config)', null],
    ['that it is too old, which is a failure where a host needs it', 'OpenSSH_7.3p1', [openssh], 'failed', `${TOO_OLD}; for vm01 (engine: openssh)`, /apt install openssh-client/],
    ['that it is too old, which is none where no host does', 'OpenSSH_7.3p1', [NEEDS], 'skipped', `${TOO_OLD}; no host needs it`, null],
    ['that it is missing, which is a failure where a host needs it', undefined, [another], 'failed', 'the engine openssh needs the program ssh, which is not installed here; for vm02 (ssh_config)', /apt install openssh-client/],
    ['that it is missing, which is none where no host does', undefined, [NEEDS], 'skipped', 'the engine openssh needs the program ssh, which is not installed here; no host needs it', null],
    ['that it cannot do what require_post_quantum wants', 'OpenSSH_8.4p1', [quantum], 'failed', 'OpenSSH 8.4 has no key exchange that withstands quantum computers, and require_post_quantum is set', /9\.0 or later/],
  ])('is %s', async (_, version, needs, status, message, hint) => {
    const PATH = version === undefined ? join(folder, 'nothing') : `${await pathWith(version)}:${process.env.PATH ?? ''}`
    expect(await sshCheck(() => askProgram({ PATH }), needs)).toEqual({ check: 'ssh', status, message, hint: hint && (expect.stringMatching(hint) as string) })
  })
})

/** All that the doctor finds of `vm01`, by check, and whether it would exit with 0. */
async function examined(remex: Remex): Promise<{ readonly of: (check: string) => Finding | undefined; readonly failed: readonly string[] }> {
  const findings: Finding[] = []
  for await (const finding of remex.doctor()) findings.push(finding)
  return { of: (check) => findings.find((one) => one.check === check), failed: findings.filter(({ status }) => status === 'failed').map(({ check }) => check) }
}

describe('what the doctor says of quantum computers', () => {
  const INFO: ConnectionInfo = { engine: 'ssh2', engineReason: 'auto', hostKey: { type: 'ssh-ed25519', fingerprint: 'SHA256:x' }, kex: 'curve25519-sha256', cipher: '', mac: '', postQuantum: 'none', serverVersion: '' }

  it.each<readonly [sentence: string, info: Partial<ConnectionInfo>, status: string, message: RegExp, hint: RegExp | null]>([
    ['nothing to do where the key exchange withstands them', { engine: 'openssh', kex: 'mlkem768x25519-sha256', postQuantum: 'used' }, 'ok', /^mlkem768x25519-sha256 withstands/, null],
    ['which setting to change where the server has one', { postQuantum: 'offered' }, 'warning', /the server has a key exchange that does$/, /^Set engine: openssh for vm01, or .*require_post_quantum: true/],
    ['to update the server where it has none', {}, 'warning', /the server has none that does$/, /^Update the SSH server on vm01: OpenSSH 9\.0 or later/],
    ['to look at both ends where ssh and the server have none in common', { engine: 'openssh' }, 'warning', /none that the ssh of this machine knows$/, /^First ssh -V, .*update the SSH server on vm01/],
  ])('is %s', (_, info, status, message, hint) => {
    const found = judgeConnection({ ...INFO, ...info }, 'vm01').find(({ check }) => check === 'post_quantum')
    expect(found).toEqual({ check: 'post_quantum', status, message: expect.stringMatching(message) as string, hint: hint && (expect.stringMatching(hint) as string) })
  })

  it('is no failure', async () => {
    await using server = await startSshServer()
    await using fleet = await fleetOf({ vm01: server })
    const { of, failed } = await examined(fleet.remex)
    expect([of('post_quantum')?.status, failed]).toEqual(['warning', []])
  })
})

describe.skipIf('skipped' in sshd || !findProgram('ssh'))('a host behind the openssh engine (skipped where ssh or sshd is not installed)', () => {
  const real = sshd as OpensshServer

  it('is looked at as any other', async () => {
    await using fleet = await fleetOf({ vm01: real }, { vms: { vm01: { engine: 'openssh' } } })
    const { of, failed } = await examined(fleet.remex)
    expect(failed).toEqual([])
    expect(of('algorithms')?.message).toContain('by openssh')
    expect(of('post_quantum')?.status).toBe(/^(mlkem|sntrup)/.test(of('algorithms')?.message ?? '') ? 'ok' : 'warning')
    expect(of('authentication')?.message).toBe(`logged in as ${real.login}; the server accepts publickey`)
  })

  it('is reached as ssh_config says, where name, port and banner are not ours to look at', async () => {
    await using fleet = await fleetOf({ vm01: { server: real, knownHosts: `database ${real.hostKeys.map(formatHostKey)[0] ?? ''}\n` } })
    const path = join(fleet.folder, 'ssh_config')
    await writeFile(path, `Host db\n  HostName ${real.address}\n  Port ${real.port}\n  User ${real.login}\n  HostKeyAlias database\n`)
    const remex = await fleet.open({ vms: { vm01: { ip: 'db', ssh_config: true, ssh_port: undefined, ssh_user: undefined } }, settings: { ssh_config_path: path } })
    const { of, failed } = await examined(remex)
    expect(failed).toEqual([])
    expect(of('known_hosts')?.message).toContain('1 may be known by another name, of ssh_config')
    expect(['dns', 'tcp', 'banner'].map((check) => of(check))).toMatchObject(Array.from({ length: 3 }, () => ({ status: 'skipped', message: 'reached as ssh_config says of db' })))
    expect(of('shell')?.status).toBe('ok')
  })

  it('fails with ssh’s own words where ssh refuses its settings, which is no matter of the host key', async () => {
    await using fleet = await fleetOf({ vm01: real })
    const path = join(fleet.folder, 'ssh_config')
    await writeFile(path, 'Host *\n  Porrt 22\n')
    const { of, failed } = await examined(await fleet.open({ vms: { vm01: { ssh_config: 'db' } }, settings: { ssh_config_path: path } }))
    expect(failed).toEqual(['connection'])
    expect(of('connection')?.message).toMatch(/porrt/i)
  })

  it('that refuses a certificate is no matter of a new key: what the certificate says is shown by what to type', async () => {
    await using fleet = await fleetOf({ vm01: real })
    const stranger = makeKeyPair()
    const key = join(fleet.folder, 'stranger')
    await writeFile(key, stranger.privateKey, { mode: 0o600 })
    const certificate = await signKey(fleet.folder, { authority: makeKeyPair(), publicKey: stranger.publicKey, options: ['-n', real.login] })
    const { of } = await examined(await fleet.open({ vms: { vm01: { identity_file: key, identity_certificate: certificate } } }))
    expect(of('authentication')).toMatchObject({ status: 'failed', message: expect.stringContaining('cert-v01@openssh.com') as string, hint: expect.stringMatching(/\nssh-keygen -Lf \S+$/) as string })
  })

  it('may be vouched for by an authority alone, of which it shows no certificate', async () => {
    const authority = parseHostKey(makeKeyPair().publicKey)
    const line = `@cert-authority * ${authority ? formatHostKey(authority) : ''}\n`
    await using fleet = await fleetOf({ vm01: { server: real, knownHosts: line } })
    const { of } = await examined(fleet.remex)
    expect(of('known_hosts')).toMatchObject({ status: 'ok', message: expect.stringContaining('an authority vouches for 1') as string })
    expect(of('host_key')).toMatchObject({ status: 'failed' })
    const { of: inProcess } = await examined(await fleet.open({ vms: { vm01: { engine: 'ssh2' } } }))
    expect(inProcess('known_hosts')).toMatchObject({ status: 'failed', hint: 'remex hosts trust vm01' })
  })
})
