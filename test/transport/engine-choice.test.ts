import { describe, expect, it } from 'vitest'
import type { HostConfig } from '../../src/config/types.ts'
import type { Agent, Identity } from '../../src/core/identity.ts'
import { chooseEngine, type EngineChoice, type EngineNeeds } from '../../src/transport/engine-choice.ts'
import { sampleSecurityKey } from '../keys/private-key-samples.ts'

type Host = Pick<HostConfig, 'engine' | 'sshConfig'>

const AUTO: Host = { engine: 'auto', sshConfig: undefined }
const IN_SSH_CONFIG: Host = { ...AUTO, sshConfig: { alias: 'db', ownsPort: false, ownsLogin: false, ownsAddress: false } }
const KEY: Identity = { kind: 'key', label: 'id', data: Buffer.alloc(0) }
const CERTIFIED: Identity = { ...KEY, certificate: { label: 'id-cert.pub', type: 'ssh-ed25519-cert-v01@openssh.com', blob: Buffer.alloc(0) } }
const AGENT: Agent = { kind: 'agent', socketPath: '/nowhere' }
const SECURITY_KEY: Identity = { ...AGENT, only: sampleSecurityKey('ed25519').blob }
const AUTHORITY = 'a @cert-authority of its host key'

describe('the engine of a host', () => {
  it.each<readonly [sentence: string, host: Host, needs: Partial<EngineNeeds> & { readonly requirePostQuantum?: boolean }, choice: EngineChoice]>([
    ['the in-process one where nothing asks for another', AUTO, { identities: [KEY, AGENT] }, { name: 'ssh2', reason: 'auto' }],
    ['the one that is set, whatever the host needs', { ...IN_SSH_CONFIG, engine: 'ssh2' }, { identities: [CERTIFIED], hasAuthority: true, requirePostQuantum: true }, { name: 'ssh2', reason: 'engine: ssh2' }],
    ['openssh where that is set', { ...AUTO, engine: 'openssh' }, {}, { name: 'openssh', reason: 'engine: openssh', need: 'engine: openssh' }],
    ['openssh for key exchange that withstands quantum computers', AUTO, { requirePostQuantum: true }, { name: 'openssh', reason: 'auto: require_post_quantum', need: 'require_post_quantum' }],
    ['openssh for the settings of ssh', IN_SSH_CONFIG, {}, { name: 'openssh', reason: 'auto: ssh_config', need: 'ssh_config' }],
    ['openssh for a user certificate, which the reason names', AUTO, { identities: [KEY, CERTIFIED] }, { name: 'openssh', reason: 'auto: the certificate id-cert.pub', need: 'a user certificate' }],
    ['openssh for a key in a security key', AUTO, { identities: [SECURITY_KEY] }, { name: 'openssh', reason: 'auto: a security key', need: 'a security key' }],
    ['openssh for an authority of host keys', AUTO, { hasAuthority: true }, { name: 'openssh', reason: `auto: ${AUTHORITY}`, need: AUTHORITY }],
    ['openssh for the first of several needs', IN_SSH_CONFIG, { identities: [CERTIFIED], hasAuthority: true }, { name: 'openssh', reason: 'auto: ssh_config', need: 'ssh_config' }],
  ])('is %s', (_, host, { requirePostQuantum = false, ...needs }, choice) => {
    expect(chooseEngine(host, { requirePostQuantum }, { identities: [], hasAuthority: false, ...needs })).toEqual(choice)
  })
})
