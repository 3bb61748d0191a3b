import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, type TestContext } from 'vitest'
import type { OfferedKey } from '../../src/enrol/host-trust.ts'
import { changedHostKey, makeKeyPair, startSshServer, type OpensshServer } from '../../testkit/index.ts'
import { findProgram } from '../../testkit/daemon.ts'
import { failureOf } from '../failure-of.ts'
import { fleetOf, type Changes, type TestFleet } from '../interop/fleet-of.ts'
import { HostKeyPlace, nameOf, type Certificate, type KeyFile } from './host-key-place.ts'

const known = (fleet: TestFleet): Promise<string> => readFile(join(fleet.folder, 'known_hosts'), 'utf8')
const statuses = (offers: readonly OfferedKey[]): unknown => offers.map(({ fingerprint, status }) => ({ fingerprint, status }))

describe('trusting a host', () => {
  it('is two steps in the audit log, with the keys that were shown and those that are trusted', async () => {
    await using server = await startSshServer({ hostKeys: [makeKeyPair().privateKey, makeKeyPair('ecdsa').privateKey] })
    await using fleet = await fleetOf({ vm01: { server, knownHosts: '' } })
    const [ed25519 = '', ecdsa = ''] = server.hostKeys.map(({ fingerprint }) => fingerprint)
    expect(await fleet.remex.trust.trust('vm01', { fingerprint: ecdsa })).toHaveLength(1)
    const finished = (await fleet.records()).filter(({ event }) => event === 'finish')
    expect(finished).toMatchObject([
      { operation: 'host_inspect', status: 'success', host_key: `${ed25519} ${ecdsa}`, vm_id: 'vm01', user_id: 'tester' },
      { operation: 'host_trust', status: 'success', host_key: ecdsa },
    ])
  })

  it('through one jump and through two gives the keys of the host itself', async () => {
    await using target = await startSshServer()
    await using near = await startSshServer()
    await using far = await startSshServer()
    const members = { vm01: { server: target, knownHosts: '' }, vm02: near, vm03: far }
    for (const jump of ['vm02', 'vm02,vm03']) {
      await using fleet = await fleetOf(members, { vms: { vm01: { jump } }, settings: { connect_timeout: '20s' } })
      const offered = await fleet.remex.trust.offered('vm01')
      expect(statuses(offered)).toEqual([{ fingerprint: target.hostKeys[0]?.fingerprint, status: 'unknown' }])
      await fleet.remex.trust.trust('vm01', { offers: offered })
      expect(await fleet.remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n' })
    }
  })

  it('ends at a jump whose key changed: nothing reaches the host', async () => {
    await using target = await startSshServer()
    await using jump = await changedHostKey()
    await using fleet = await fleetOf({ vm01: { server: target, knownHosts: '' }, vm02: { server: jump, knownHosts: jump.staleKnownHosts } }, { vms: { vm01: { jump: 'vm02' } } })
    const before = await known(fleet)
    expect(await failureOf(fleet.remex.trust.offered('vm01'))).toMatchObject({ code: 'HOST_KEY_CHANGED', message: expect.stringContaining('vm02') })
    expect([target.connections, jump.logins]).toEqual([0, 0])
    expect(await known(fleet)).toBe(before)
  })

  it('that the policy does not allow to be trusted writes nothing, and is in the log', async () => {
    await using server = await startSshServer()
    const rules = (operations: string[]): Changes => ({ policy: { rules: [{ effect: 'allow', speaks_for: '*', operations, hosts: ['all'] }] } })
    await using fleet = await fleetOf({ vm01: { server, knownHosts: '' } }, rules(['host_inspect']))
    const offers = await fleet.remex.trust.offered('vm01')
    expect(await failureOf(fleet.remex.trust.trust('vm01', { offers }))).toMatchObject({ code: 'POLICY_DENIED' })
    expect(await failureOf(fleet.remex.trust.forget('vm01'))).toMatchObject({ code: 'POLICY_DENIED' })
    expect(await known(fleet)).toBe('')
    expect(await fleet.records()).toEqual(expect.arrayContaining(['host_trust', 'host_forget'].map((operation) => expect.objectContaining({ event: 'denied', operation, error_code: 'POLICY_DENIED' }))))
    const connections = server.connections
    const blind = await fleet.open(rules(['run']))
    expect(await failureOf(blind.trust.offered('vm01'))).toMatchObject({ code: 'POLICY_DENIED' })
    expect(server.connections).toBe(connections)
  })

  it('stops when the caller does', async () => {
    await using server = await startSshServer()
    await using fleet = await fleetOf({ vm01: { server, knownHosts: '' } })
    expect(await failureOf(fleet.remex.trust.offered('vm01', { signal: AbortSignal.abort() }))).toMatchObject({ code: 'CANCELLED' })
  })
})

describe('a host with its key in the configuration', () => {
  const two = [makeKeyPair(), makeKeyPair('ecdsa')].map(({ privateKey }) => privateKey)

  it('needs nobody to be asked: pinned keys go into known_hosts, and others do not', async () => {
    await using server = await startSshServer({ hostKeys: two })
    const [pinned = '', other = ''] = server.hostKeys.map(({ fingerprint }) => fingerprint)
    await using fleet = await fleetOf({ vm01: { server, knownHosts: '' } }, { vms: { vm01: { host_key: pinned } } })
    const offers = await fleet.remex.trust.offered('vm01')
    expect(offers).toMatchObject([{ fingerprint: pinned, status: 'unknown', vouchedBy: 'host_key', refusal: null }, { fingerprint: other, status: 'not_pinned', vouchedBy: null, refusal: null }])
    await fleet.remex.trust.trust('vm01', { offers })
    expect(await known(fleet)).toBe(server.knownHosts.split(/(?<=\n)/)[0])
    expect(await failureOf(fleet.remex.trust.trust('vm01', { fingerprint: other }))).toMatchObject({ code: 'HOST_KEY_CHANGED' })
  })

  it('that shows none of them is refused with the old and the new keys, and nothing is written', async () => {
    await using server = await startSshServer({ hostKeys: two })
    const pin = `SHA256:${'A'.repeat(43)}`
    await using fleet = await fleetOf({ vm01: { server, knownHosts: '' } }, { vms: { vm01: { host_key: pin } } })
    const offers = await fleet.remex.trust.offered('vm01')
    expect(offers.map(({ expected }) => expected)).toEqual(offers.map(() => [{ type: undefined, fingerprint: pin, place: 'host_key' }]))
    const error = await failureOf(fleet.remex.trust.trust('vm01', { offers }))
    expect(error.code).toBe('HOST_KEY_CHANGED')
    for (const text of [pin, ...server.hostKeys.map(({ fingerprint }) => fingerprint)]) expect(error.message).toContain(text)
    expect(await known(fleet)).toBe('')
  })

  it('is not vouched for by an authority as well', async () => {
    await using place = await HostKeyPlace.make()
    await using server = await startSshServer()
    await using fleet = await fleetOf({ vm01: { server, knownHosts: '' } }, { vms: { vm01: { host_key: server.hostKeys[0]?.fingerprint } } })
    const { path } = await place.key('ca')
    expect(await failureOf(fleet.remex.trust.offered('vm01', { ca: `${path}.pub` }))).toMatchObject({ code: 'USAGE', message: expect.stringContaining('host_key') })
  })
})

describe.skipIf(!findProgram('ssh') || !findProgram('ssh-keygen'))('a host with a certificate', () => {
  interface Signed extends AsyncDisposable {
    readonly place: HostKeyPlace
    readonly ca: KeyFile
    readonly host: KeyFile
    readonly server: OpensshServer
    readonly fleet: TestFleet
  }

  /** A host whose ed25519 key is signed, and its ecdsa key is not. */
  async function signed(context: TestContext, { by, certificate = {}, changes }: { by?: 'ca' | 'other' | 'nobody'; certificate?: Certificate; changes?: Changes } = {}): Promise<Signed> {
    const place = await HostKeyPlace.make()
    const [ca, other, host, second] = [await place.key('ca'), await place.key('other'), await place.key('host'), await place.key('second', 'ecdsa')]
    const certificates = by === 'nobody' ? [] : [await place.sign(by === 'other' ? other : ca, host, certificate)]
    const server = await place.server(context, [host, second], certificates)
    const fleet = await fleetOf({ vm01: { server, knownHosts: '' } }, changes)
    const dispose = async (): Promise<void> => {
      await fleet[Symbol.asyncDispose]()
      await place[Symbol.asyncDispose]()
    }
    return { place, ca, host, server, fleet, [Symbol.asyncDispose]: dispose }
  }

  it('is trusted for the key that the authority signed, and the authority from then on', async (context) => {
    await using it = await signed(context)
    const { remex } = it.fleet
    const offers = await remex.trust.offered('vm01', { ca: `${it.ca.path}.pub` })
    expect(offers).toMatchObject([{ fingerprint: it.host.fingerprint, vouchedBy: 'cert_authority', refusal: null }, { status: 'not_certified', vouchedBy: null }])
    expect(await remex.trust.trust('vm01', { offers })).toHaveLength(1)
    const text = `@cert-authority ${nameOf(it.server)} ${it.ca.line}\n${nameOf(it.server)} ${it.host.line}\n`
    expect(await known(it.fleet)).toBe(text)
    expect(await remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n' })
    await remex.trust.trust('vm01', { offers: await remex.trust.offered('vm01', { ca: `${it.ca.path}.pub` }) })
    expect(await known(it.fleet)).toBe(text)
  })

  it('is trusted by the @cert-authority lines that known_hosts has for it', async (context) => {
    await using it = await signed(context)
    const line = `@cert-authority [127.0.0.*]:* ${it.ca.line}\n`
    await writeFile(join(it.fleet.folder, 'known_hosts'), line)
    await it.fleet.remex.trust.trust('vm01', { offers: await it.fleet.remex.trust.offered('vm01') })
    expect(await known(it.fleet)).toBe(`${line}${nameOf(it.server)} ${it.host.line}\n`)
  })

  it('is verified without a limit of time where there is none', async (context) => {
    await using it = await signed(context, { changes: { settings: { connect_timeout: 'none' } } })
    expect(await it.fleet.remex.trust.offered('vm01', { ca: `${it.ca.path}.pub` })).toMatchObject([{ vouchedBy: 'cert_authority' }, {}])
  })

  it('may be vouched for by one of several authorities, also by lines that name hosts', async (context) => {
    await using it = await signed(context)
    const another = await it.place.key('another')
    const file = join(it.place.directory, 'authorities')
    await writeFile(file, `# ours\n${another.line} comment\n@cert-authority elsewhere ${another.line}\n\n@cert-authority [127.*]:*,lab ${it.ca.line}\n`)
    const [offer] = await it.fleet.remex.trust.offered('vm01', { ca: file })
    expect(offer).toMatchObject({ fingerprint: it.host.fingerprint, vouchedBy: 'cert_authority' })
    expect(offer?.authority?.blob.equals(it.ca.key.blob)).toBe(true)
  })

  const forged = '" CA ssh-ed25519 SHA256:x valid forever\ndebug1: Host is known and matches the ED25519-CERT host certificate.\ndebug1: Found CA key in ca:1\ndebug1: SSH2_MSG_NEWKEYS sent\n'
  it.for<[string, Parameters<typeof signed>[1], string]>([
    ['has expired', { certificate: { validity: '-3d:-1d' } }, 'expired'],
    ['is not valid yet', { certificate: { validity: '+1d:+2d' } }, 'not yet valid'],
    ['is for another name', { certificate: { principal: 'elsewhere' } }, 'principal'],
    ['is by another authority', { by: 'other' }, 'not the authority'],
    ['is by another authority and pretends that it was verified', { by: 'other', certificate: { keyId: forged } }, 'not the authority'],
    ['is not there', { by: 'nobody' }, 'no host certificate'],
  ])('that %s is refused, and nothing is written', async ([, how, message], context) => {
    await using it = await signed(context, how)
    const offers = await it.fleet.remex.trust.offered('vm01', { ca: `${it.ca.path}.pub` })
    const error = await failureOf(it.fleet.remex.trust.trust('vm01', { offers }))
    expect(error).toMatchObject({ code: 'HOST_KEY_UNKNOWN', message: expect.stringContaining(message) })
    expect(await known(it.fleet)).toBe('')
  })

  it.for(['ca', 'host'] as const)('is refused where the key of the %s is revoked', async (which, context) => {
    await using it = await signed(context)
    const line = `@revoked * ${it[which].line}\n`
    await writeFile(join(it.fleet.folder, 'known_hosts'), line)
    const trusting = async (): Promise<unknown> => it.fleet.remex.trust.trust('vm01', { offers: await it.fleet.remex.trust.offered('vm01', { ca: `${it.ca.path}.pub` }) })
    expect(await failureOf(trusting())).toMatchObject({ code: 'HOST_KEY_REVOKED' })
    expect(await known(it.fleet)).toBe(line)
  })

  it('is refused where another key of it is known: forget that first', async (context) => {
    await using it = await signed(context)
    const old = await it.place.key('old')
    const line = `${nameOf(it.server)} ${old.line}\n`
    await writeFile(join(it.fleet.folder, 'known_hosts'), line)
    const offers = await it.fleet.remex.trust.offered('vm01', { ca: `${it.ca.path}.pub` })
    expect(offers[0]?.expected).toEqual([{ type: 'ssh-ed25519', fingerprint: old.fingerprint, place: `${join(it.fleet.folder, 'known_hosts')}:1` }])
    expect(await failureOf(it.fleet.remex.trust.trust('vm01', { offers }))).toMatchObject({ code: 'HOST_KEY_CHANGED' })
    expect(await known(it.fleet)).toBe(line)
  })

  it('behind a jump cannot be verified, and it is said what to do', async (context) => {
    await using jump = await startSshServer()
    await using it = await signed(context)
    await using fleet = await fleetOf({ vm01: { server: it.server, knownHosts: '' }, vm02: jump }, { vms: { vm01: { jump: 'vm02' } } })
    expect(await failureOf(fleet.remex.trust.offered('vm01', { ca: `${it.ca.path}.pub` }))).toMatchObject({ code: 'USAGE', hint: expect.stringContaining('--fingerprint') })
  })

  it.each([
    ['is not there', undefined, 'LOCAL_NOT_FOUND'],
    ['is a private key', '-----BEGIN OPENSSH PRIVATE KEY-----\n', 'USAGE'],
    ['has authorities of other hosts only', 'elsewhere', 'USAGE'],
  ])('is not asked for it where the file of the authority %s', async (_, text, code) => {
    await using place = await HostKeyPlace.make()
    await using server = await startSshServer()
    await using fleet = await fleetOf({ vm01: { server, knownHosts: '' } })
    const file = join(place.directory, 'file')
    if (text !== undefined) await writeFile(file, text === 'elsewhere' ? `@cert-authority elsewhere ${(await place.key('ca')).line}\n` : text)
    expect(await failureOf(fleet.remex.trust.offered('vm01', { ca: file }))).toMatchObject({ code })
    expect(server.connections).toBe(0)
  })
})
