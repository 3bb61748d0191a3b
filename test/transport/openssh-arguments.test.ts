import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { canVouch, sshArguments, type Start } from '../../src/transport/openssh/arguments.ts'
import { askProgram, type SshProgram, type Version } from '../../src/transport/openssh/program.ts'
import type { ConnectTarget } from '../../src/transport/contract.ts'
import { findProgram } from '../../testkit/daemon.ts'

const program = (version: Version, knows: SshProgram['knows'] = () => true): SshProgram => ({ version, knows })
const VERSIONS: readonly Version[] = [[7, 4], [8, 4], [9, 2], [10, 5]]

type More = Omit<Partial<Start>, 'target'> & { readonly target?: Partial<ConnectTarget> }

function start({ target, ...more }: More = {}): Start {
  return {
    program: program([9, 2]), purpose: 'connect', isDialled: true, hasPassword: false, takesCertificates: false, knownTypes: [], refusedTypes: [],
    names: { knownHosts: 'h1', control: 'c', agent: 'a', judge: undefined, log: undefined, certificates: [] },
    ...more,
    target: {
      vmId: 'vm01', address: '10.0.0.10', port: 2222, login: 'admin', engineReason: 'test', verifyHostKey: () => undefined, knownHostKeys: [], knownFingerprints: [],
      certAuthorities: [], revokedHostKeys: [], requirePostQuantum: false, connectTimeoutMs: 20_000, keepaliveIntervalMs: 15_000, ...target,
    },
  }
}

/** The options by name; each is given once, for in ssh the first value counts. */
function optionsOf(more: More = {}): Record<string, string> {
  const args = sshArguments(start(more))
  const given = args.flatMap((word, index) => (args[index - 1] === '-o' ? [word] : [])).map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)] as const)
  expect(new Set(given.map(([name]) => name.toLowerCase())).size).toBe(given.length)
  return Object.fromEntries(given)
}

const listOf = (value: string | undefined): string[] => (value ?? '').split(',')

describe('the arguments of ssh', () => {
  test.each<[string, Version]>([
    ['KnownHostsCommand', [8, 5]],
    ['RemoteCommand', [7, 6]],
    ['CASignatureAlgorithms', [7, 9]],
    ['RequiredRSASize', [9, 1]],
  ])('have %s from %j on, and not before: an ssh that does not know it would end', (name, since) => {
    const before: Version = [since[0], since[1] - 1]
    expect(optionsOf({ program: program(before) })).not.toHaveProperty(name)
    expect(optionsOf({ program: program(since) })).toHaveProperty(name)
    expect(VERSIONS.map((version) => name in optionsOf({ program: program(version) }))).toEqual(VERSIONS.map(([major, minor]) => major > since[0] || (major === since[0] && minor >= since[1])))
  })

  test.each(VERSIONS)('let version %d.%d do nothing besides: nothing is asked, run, forwarded or looked up', (major, minor) => {
    expect(optionsOf({ program: program([major, minor]) })).toMatchObject({
      BatchMode: 'yes', StrictHostKeyChecking: 'yes', UserKnownHostsFile: 'h1', GlobalKnownHostsFile: '/dev/null', VerifyHostKeyDNS: 'no', CheckHostIP: 'no',
      NoHostAuthenticationForLocalhost: 'no', UpdateHostKeys: 'no', PermitLocalCommand: 'no', ClearAllForwardings: 'yes', ForwardAgent: 'no', ForwardX11: 'no', Tunnel: 'no',
      RequestTTY: 'no', AddKeysToAgent: 'no', PasswordAuthentication: 'no', Compression: 'no', ControlMaster: 'yes', ConnectionAttempts: '1',
    })
  })

  test.each(VERSIONS)('ask version %d.%d for allowed algorithms alone, and only for those that it knows', (major, minor) => {
    const known = ['curve25519-sha256', 'aes256-ctr', 'hmac-sha2-256', 'ssh-ed25519']
    const options = optionsOf({ program: program([major, minor], (name) => known.includes(name)) })
    expect(options).toMatchObject({ KexAlgorithms: 'curve25519-sha256', Ciphers: 'aes256-ctr', MACs: 'hmac-sha2-256', HostKeyAlgorithms: 'ssh-ed25519', PubkeyAcceptedKeyTypes: 'ssh-ed25519' })
    const all = Object.entries(optionsOf({ program: program([major, minor]) })).filter(([name]) => /Algorithms|Ciphers|MACs|KeyTypes/.test(name)).map(([, value]) => value).join(',')
    expect(all).not.toMatch(/sha1|md5|cbc|arcfour|dss|3des|(^|,)ssh-rsa(,|$)/)
  })

  test('ask for the types of host key that are known first, and not for those that are refused; for certificates where there is an authority', () => {
    expect(listOf(optionsOf({ knownTypes: ['ssh-rsa'] })['HostKeyAlgorithms']).slice(0, 2)).toEqual(['rsa-sha2-512', 'rsa-sha2-256'])
    const rest = listOf(optionsOf({ refusedTypes: ['ssh-ed25519', 'ssh-rsa'] })['HostKeyAlgorithms'])
    expect(rest).toEqual(['ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521'])
    const certified = listOf(optionsOf({ takesCertificates: true })['HostKeyAlgorithms'])
    expect(certified.slice(0, 2)).toEqual(['ssh-ed25519-cert-v01@openssh.com', 'ecdsa-sha2-nistp256-cert-v01@openssh.com'])
    expect(certified).toContain('ssh-ed25519')
  })

  test('ask for nothing but post-quantum key exchange where it is required', () => {
    expect(listOf(optionsOf({ target: { requirePostQuantum: true } })['KexAlgorithms']).every((name) => /^(mlkem|sntrup)/.test(name))).toBe(true)
  })

  test('give each purpose no more than it needs', () => {
    expect(optionsOf({ purpose: 'learn' })).toMatchObject({ StrictHostKeyChecking: 'no', PreferredAuthentications: 'none', PubkeyAuthentication: 'no', IdentityAgent: 'none', UpdateHostKeys: 'no' })
    expect(optionsOf({ purpose: 'ask', target: { wantsHostKeys: true } })).toMatchObject({ StrictHostKeyChecking: 'yes', PreferredAuthentications: 'none', PubkeyAuthentication: 'no', IdentityAgent: 'none', UpdateHostKeys: 'no' })
    expect(optionsOf({ target: { wantsHostKeys: true } })).toMatchObject({ UpdateHostKeys: 'yes', PreferredAuthentications: 'publickey', IdentityAgent: 'a', IdentityFile: 'none' })
    expect(optionsOf({ hasPassword: true })).toMatchObject({ PasswordAuthentication: 'yes', NumberOfPasswordPrompts: '1', PreferredAuthentications: 'publickey,password,keyboard-interactive' })
  })

  test('read no file of settings but the one that is asked for', () => {
    const files = (sshConfig: ConnectTarget['sshConfig']): string[] => sshArguments(start({ target: { sshConfig } })).slice(0, 2)
    expect(files(undefined)).toEqual(['-F', '/dev/null'])
    expect(files({ file: '/etc/other', alias: 'db', isProxied: false })).toEqual(['-F', '/etc/other'])
    expect(files({ file: undefined, alias: 'db', isProxied: false })).not.toContain('-F')
  })

  test('end with the host, behind what ends the options; a percent sign of an address is none of ssh', () => {
    expect(sshArguments(start()).slice(-7)).toEqual(['c', '-p', '2222', '-l', 'admin', '--', '10.0.0.10'])
    const sshConfig = { file: undefined, alias: 'db', isProxied: false }
    expect(sshArguments(start({ target: { sshConfig } })).slice(-2)).toEqual(['--', 'db'])
    expect(optionsOf({ target: { sshConfig, address: 'fe80::1%eth0' } })['HostName']).toBe('fe80::1%%eth0')
  })

  test('count time in whole seconds, at least one, and not at all where there is no limit', () => {
    expect(optionsOf({ target: { connectTimeoutMs: 1200, keepaliveIntervalMs: 10 } })).toMatchObject({ ConnectTimeout: '2', ServerAliveInterval: '1', ServerAliveCountMax: '3' })
    expect(optionsOf({ target: { connectTimeoutMs: Infinity, keepaliveIntervalMs: Infinity } })).toMatchObject({ ConnectTimeout: 'none', ServerAliveInterval: '0' })
  })

  test('vouch for a key by its fingerprint from 9.1 on, when short RSA keys are refused by ssh itself', () => {
    expect(([[8, 4], [8, 5], [9, 0], [9, 1], [10, 5]] as const).map((version) => canVouch(program(version)))).toEqual([false, false, false, true, true])
    const names = { ...start().names, judge: 'v' }
    expect(optionsOf({ names })['KnownHostsCommand']).toBe('/bin/sh v %H %f %t %K')
  })

  test('are all known to the ssh that is installed here', async (context) => {
    if (findProgram('ssh') === undefined) context.skip('ssh is not installed (Debian: openssh-client)')
    const installed = await askProgram(process.env)
    const names = { ...start().names, certificates: ['u0'] }
    for (const more of [{}, { purpose: 'learn' }, { purpose: 'ask' }, { hasPassword: true, names }] as const) {
      const args = sshArguments(start({ program: installed, ...more }))
      await expect(promisify(execFile)('ssh', ['-G', ...args])).resolves.toMatchObject({ stdout: expect.stringContaining('batchmode') })
    }
  })
})
