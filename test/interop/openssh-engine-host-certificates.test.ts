import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ErrorCode } from '../../src/core/errors.ts'
import type { OpensshServer } from '../../testkit/openssh-server.ts'
import { failureOf } from '../failure-of.ts'
import { CertificatePlace, type KeyFile, type Statement } from './certificate-place.ts'
import { fleetOf, type Changes, type TestFleet } from './fleet-of.ts'
import { acceptedLogins, skipReason, startSshd } from './openssh-here.ts'

const reason = skipReason('ssh', 'sshd', 'ssh-keygen')

/** Keys that known_hosts lines are made of. */
interface Keys {
  readonly ca: KeyFile
  readonly other: KeyFile
  readonly host: KeyFile
}

/** A host that is not to be trusted: its certificate, and what of it is known. */
interface Refusal {
  readonly signing?: Partial<Statement> & { readonly by?: keyof Keys }
  readonly known: (keys: Keys) => readonly string[]
  readonly pinned?: keyof Keys
  readonly code: ErrorCode
  readonly message: RegExp
}

const byAuthority = ({ ca }: Keys): readonly string[] => [`@cert-authority * ${ca.line}`]

const REFUSALS: readonly (readonly [sentence: string, refusal: Refusal])[] = [
  ['for another name', { signing: { principal: 'db.example' }, known: byAuthority, code: 'HOST_KEY_UNKNOWN', message: /host certificate that is not valid: .*name is not a listed principal/ }],
  ['that has expired', { signing: { validity: '-3d:-1d' }, known: byAuthority, code: 'HOST_KEY_UNKNOWN', message: /host certificate that is not valid: .*expired/ }],
  ['that is not valid yet', { signing: { validity: '+1d:+3d' }, known: byAuthority, code: 'HOST_KEY_UNKNOWN', message: /host certificate that is not valid: .*not yet valid/ }],
  ['by another authority', { signing: { by: 'other' }, known: byAuthority, code: 'HOST_KEY_UNKNOWN', message: /host certificate by .*not the authority that is trusted/ }],
  ['by an authority that is known for other hosts', { known: ({ ca }) => [`@cert-authority *.example ${ca.line}`], code: 'HOST_KEY_UNKNOWN', message: /no key is known for it/ }],
  ['by an authority that is revoked', { known: (keys) => [...byAuthority(keys), `@revoked * ${keys.ca.line}`], code: 'HOST_KEY_UNKNOWN', message: /no key is known for it/ }],
  ['by a good authority, where its own key is revoked', { known: (keys) => [...byAuthority(keys), `@revoked * ${keys.host.line}`], code: 'HOST_KEY_REVOKED', message: /revoked/ }],
  ['by a good authority, where another key of it is pinned', { known: byAuthority, pinned: 'other', code: 'HOST_KEY_CHANGED', message: /host_key in the configuration/ }],
]

describe.skipIf(reason !== '')(`a host with a certificate${reason}`, () => {
  let place: CertificatePlace
  let keys: Keys
  let server: OpensshServer
  beforeAll(async () => {
    place = await CertificatePlace.make()
    const [ca, other, host] = await Promise.all(['ca', 'other', 'host'].map((name) => place.key(name)))
    keys = { ca, other, host } as Keys
    server = await serverWith({})
  })
  afterAll(async () => {
    await server.close()
    await place[Symbol.asyncDispose]()
  })

  async function serverWith({ by = 'ca', ...signing }: NonNullable<Refusal['signing']>): Promise<OpensshServer> {
    const certificate = await place.sign(keys[by], keys.host, { kind: 'host', principal: '127.0.0.1', ...signing })
    return startSshd({ hostKeyKinds: [], config: [`HostKey ${keys.host.path}`, `HostCertificate ${certificate}`] })
  }

  const fleetKnowing = (to: OpensshServer, lines: readonly string[], changes: Changes = {}): Promise<TestFleet> =>
    fleetOf({ vm01: { server: to, knownHosts: lines.map((line) => `${line}\n`).join('') } }, changes)

  it('is trusted by its authority alone, and the check tells which that is', async () => {
    await using fleet = await fleetKnowing(server, [`@cert-authority [127.0.0.1]:* ${keys.ca.line}`])
    const info = await fleet.remex.check('vm01')
    expect(info).toMatchObject({ engine: 'openssh', engineReason: 'auto: a @cert-authority of its host key' })
    expect(info.hostKey).toEqual({ type: 'ssh-ed25519', fingerprint: keys.host.fingerprint, authority: keys.ca.fingerprint })
    expect(await fleet.remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n' })
    expect((await fleet.records()).at(-1)).toMatchObject({ event: 'finish', engine: 'openssh', host_key: keys.host.fingerprint })
  })

  it('is trusted by the one of several authorities that signed', async () => {
    await using fleet = await fleetKnowing(server, [`@cert-authority * ${keys.other.line}`, `@cert-authority * ${keys.ca.line}`])
    expect(await fleet.remex.check('vm01')).toMatchObject({ hostKey: { authority: keys.ca.fingerprint } })
  })

  it.each(REFUSALS)('%s is refused, before any login', async (_sentence, { signing, known, pinned, code, message }) => {
    await using other = await serverWith(signing ?? {})
    await using fleet = await fleetKnowing(other, known(keys), pinned && { vms: { vm01: { host_key: keys[pinned].fingerprint } } })
    for (const engine of ['auto', 'openssh']) {
      const remex = await fleet.open({ settings: { engine } })
      const error = await failureOf(remex.host('vm01').run('echo in'))
      expect(error).toMatchObject({ code, vmId: 'vm01', mayHaveRun: false })
      expect(error.message).toMatch(message)
    }
    expect(await acceptedLogins(other)).toEqual([])
  })

  it('by another authority is refused with a message that names who signed', async () => {
    await using other = await serverWith({ by: 'other' })
    await using fleet = await fleetKnowing(other, byAuthority(keys))
    expect((await failureOf(fleet.remex.check('vm01'))).message).toContain(keys.other.fingerprint)
  })

  it('whose certificate has expired is trusted by its plain key where that is known', async () => {
    await using other = await serverWith({ validity: '-3d:-1d' })
    await using fleet = await fleetKnowing(other, [...byAuthority(keys), `* ${keys.host.line}`])
    expect(await fleet.remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n' })
  })

  it.each([
    ['has expired', { validity: '-3d:-1d' }],
    ['is by another authority', { by: 'other' }],
  ] as const)('whose certificate %s is told as trusted by its plain key, and not by an authority', async (_sentence, signing) => {
    await using other = await serverWith(signing)
    await using fleet = await fleetKnowing(other, [...byAuthority(keys), `* ${keys.host.line}`])
    const { hostKey } = await fleet.remex.check('vm01')
    expect(hostKey).toEqual({ type: 'ssh-ed25519', fingerprint: keys.host.fingerprint, blob: keys.host.key.blob })
  })

  it.each([
    ['a plain key that is known', ({ host }: Keys): readonly string[] => [`* ${host.line}`], 'host'],
    ['a certificate', byAuthority, 'host'],
    ['a certificate of an authority', byAuthority, 'ca'],
  ] as const)('with %s is refused where RevokedHostKeys of the settings of ssh revokes that', async (_what, known, revoked) => {
    const list = await place.revoke({ keys: [keys[revoked]] })
    await using fleet = await fleetKnowing(server, known(keys))
    const before = await acceptedLogins(server)
    const settings = await place.write('ssh_config', `RevokedHostKeys ${list}\n`)
    const remex = await fleet.open({ vms: { vm01: { ssh_config: true } }, settings: { ssh_config_path: settings } })
    const error = await failureOf(remex.host('vm01').run('echo in'))
    expect(error).toMatchObject({ code: 'HOST_KEY_REVOKED', vmId: 'vm01', mayHaveRun: false })
    expect(error.hint).toContain('RevokedHostKeys')
    expect(await acceptedLogins(server)).toEqual(before)
  })
})
