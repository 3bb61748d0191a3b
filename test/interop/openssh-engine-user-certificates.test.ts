import { chmod, copyFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Remex } from '../../src/remex.ts'
import type { OpensshServer } from '../../testkit/openssh-server.ts'
import { failureOf } from '../failure-of.ts'
import { CertificatePlace, type KeyFile, type Statement } from './certificate-place.ts'
import { fleetOf, type TestFleet } from './fleet-of.ts'
import { acceptedLogins, skipReason, startSshd } from './openssh-here.ts'

const reason = skipReason('ssh', 'sshd', 'ssh-keygen')
const REVOKED_SERIAL = 666

/** What is certified, and by whom. */
interface Signing extends Partial<Statement> {
  readonly by?: 'stranger'
}

/** The last: what the server logs of it; of an authority that it does not know it says nothing. */
const REFUSED: readonly (readonly [sentence: string, signing: Signing, logged: RegExp])[] = [
  ['has expired', { validity: '-3d:-1d' }, /Certificate invalid: expired/],
  ['is not valid yet', { validity: '+1d:+3d' }, /Certificate invalid: not yet valid/],
  ['is for another login', { principal: 'somebody-else' }, /not a listed principal/],
  ['is revoked by the server’s list', { serial: REVOKED_SERIAL }, /revoked by file/],
  ['is signed by an authority that the server does not trust', { by: 'stranger' }, /^(?!.*(?:invalid|revoked))/s],
]

describe.skipIf(reason !== '')(`a login with a user certificate${reason}`, () => {
  let place: CertificatePlace
  let authority: KeyFile
  let stranger: KeyFile
  let server: OpensshServer
  let fleet: TestFleet
  beforeAll(async () => {
    place = await CertificatePlace.make()
    // For principals the server looks as the user who logs in.
    await chmod(place.directory, 0o711)
    ;[authority, stranger] = await Promise.all([place.key('ca'), place.key('stranger')])
    const revoked = await place.revoke({ authority, serials: [REVOKED_SERIAL] })
    server = await startSshd({ config: [`TrustedUserCAKeys ${authority.path}.pub`, `RevokedKeys ${revoked}`] })
    fleet = await fleetOf({ vm01: server })
  })
  afterAll(async () => {
    await fleet[Symbol.asyncDispose]()
    await server.close()
    await place[Symbol.asyncDispose]()
  })

  /** A new key with its certificate; and a Remex that is told of the certificate in one of the two ways. */
  async function withCertificate(name: string, { by, ...signing }: Signing, how: 'named' | 'beside'): Promise<{ readonly remex: Remex; readonly label: string }> {
    const key = await place.key(`${name}-${how}`)
    const certificate = await place.sign(by ? stranger : authority, key, { kind: 'user', principal: server.login, ...signing })
    const beside = `${key.path}-cert.pub`
    if (how === 'beside') await copyFile(certificate, beside)
    const vm01 = { identity_file: key.path, ...(how === 'named' && { identity_certificate: certificate }) }
    return { remex: await fleet.open({ vms: { vm01 } }), label: basename(how === 'named' ? certificate : beside) }
  }

  it.each(['named', 'beside'] as const)('gets in with one that is valid, %s: auto takes the openssh engine for it and says so', async (how) => {
    const { remex, label } = await withCertificate('valid', {}, how)
    expect(await remex.check('vm01')).toMatchObject({ engine: 'openssh', engineReason: `auto: the certificate ${label}` })
    expect(await remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n', engine: 'openssh' })
    expect((await acceptedLogins(server)).at(-1)).toMatch(/ED25519-CERT .*the id of it/)
  })

  it('does not get in with the same key and no certificate', async () => {
    const key = await place.key('plain')
    const remex = await fleet.open({ vms: { vm01: { identity_file: key.path } } })
    expect(await failureOf(remex.host('vm01').run('echo in'))).toMatchObject({ code: 'AUTH_FAILED', message: expect.stringContaining('plain') })
    const forced = await fleet.open({ vms: { vm01: { identity_file: key.path, engine: 'openssh' } } })
    expect(await failureOf(forced.host('vm01').run('echo in'))).toMatchObject({ code: 'AUTH_FAILED', message: expect.stringContaining('plain') })
  })

  describe.each(['named', 'beside'] as const)('%s', (how) => {
    it.each(REFUSED)('is refused with one that %s, and the message names it', async (sentence, signing, logged) => {
      const before = await server.log()
      const { remex, label } = await withCertificate(sentence.replaceAll(/\W+/g, '-'), signing, how)
      const error = await failureOf(remex.host('vm01').run('echo in'))
      expect(error).toMatchObject({ code: 'AUTH_FAILED', vmId: 'vm01', mayHaveRun: false, message: expect.stringContaining(`${label} (ssh-ed25519-cert-v01@openssh.com)`) })
      const after = (await server.log()).slice(before.length)
      expect(after).toMatch(logged)
      expect(after).not.toContain('Accepted ')
    })
  })

  it('gets in by its plain key where that is authorized, though its certificate has expired', async () => {
    const key = await place.key('authorized')
    await using other = await startSshd({ authorizedKeys: [key.line], config: [`TrustedUserCAKeys ${authority.path}.pub`] })
    await using own = await fleetOf({ vm01: other })
    const certificate = await place.sign(authority, key, { kind: 'user', principal: other.login, validity: '-3d:-1d' })
    const remex = await own.open({ vms: { vm01: { identity_file: key.path, identity_certificate: certificate } } })
    expect(await remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n', engine: 'openssh' })
  })

  it('works with a key in the key store, beside which its certificate lies', async () => {
    const key = await place.key('id_ed25519_vm01')
    await copyFile(await place.sign(authority, key, { kind: 'user', principal: server.login }), join(place.directory, 'id_ed25519_vm01-cert.pub'))
    const remex = await fleet.open({ settings: { key_storage_path: place.directory } })
    expect(await remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n', engine: 'openssh' })
  })

  it('gets in where a file of the server names other principals than the login', async () => {
    const key = await place.key('operator')
    await using other = await startSshd({ config: [`TrustedUserCAKeys ${authority.path}.pub`, `AuthorizedPrincipalsFile ${join(place.directory, 'principals')}`] })
    await using own = await fleetOf({ vm01: other })
    await writeFile(join(place.directory, 'principals'), 'operators\n')
    const certificates = await Promise.all(['operators', 'visitors'].map((principal) => place.sign(authority, key, { kind: 'user', principal })))
    const [operators, visitors] = await Promise.all(certificates.map((path) => own.open({ vms: { vm01: { identity_file: key.path, identity_certificate: path } } })))
    expect(await operators?.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n' })
    await expect(visitors?.host('vm01').run('echo in')).rejects.toMatchObject({ code: 'AUTH_FAILED' })
  })
})
