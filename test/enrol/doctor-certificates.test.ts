import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkConfig } from '../../src/config/check.ts'
import { resolveConfig } from '../../src/config/resolve.ts'
import type { Config } from '../../src/config/types.ts'
import { certificatesCheck } from '../../src/enrol/doctor/certificate-checks.ts'
import type { Judgement } from '../../src/enrol/doctor/finding.ts'
import { keysCheck } from '../../src/enrol/doctor/key-checks.ts'
import { lookAtKeys, type KeyLook } from '../../src/enrol/doctor/key-looks.ts'
import { ageInDays, isDue } from '../../src/enrol/key-status.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import { signKey } from '../keys/certificate-samples.ts'
import { hasSshKeygen } from '../keys/ssh-keygen.ts'

const NOW_MS = Date.UTC(2026, 0, 31, 12)
const authority = makeKeyPair()
const pair = makeKeyPair()

let folder: string
let key: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'remex-doctor-certificates-'))
  key = join(folder, 'id')
  await writeFile(key, pair.privateKey, { mode: 0o600 })
})

afterAll(() => rm(folder, { recursive: true }))

/** The configuration of these hosts, with a key store that is empty. */
function configOf(vms: Readonly<Record<string, object>>): Config {
  const checked = checkConfig({ vms: Object.fromEntries(Object.entries(vms).map(([id, vm]) => [id, { ip: '10.0.0.1', ssh_user: 'operator', ...vm }])), remote_execution: { key_storage_path: folder } })
  if ('problems' in checked) throw new Error(JSON.stringify(checked.problems))
  return resolveConfig(checked.raw, undefined, { env: {}, cwd: folder, home: folder, osUser: 'tester' })
}

async function looksAt(vms: Readonly<Record<string, object>>): Promise<{ readonly config: Config; readonly looks: readonly KeyLook[] }> {
  const config = configOf(vms)
  return { config, looks: await lookAtKeys({ settings: config.settings, env: {}, nowMs: NOW_MS }, [...config.hosts.values()]) }
}

const sign = (name: string, ...options: readonly string[]): Promise<string> => signKey(folder, { authority, publicKey: pair.publicKey, options, path: join(folder, name) })

/** What is said of a certificate, which the configuration of each of these hosts names. */
async function said(name: string, options: readonly string[], vms: Readonly<Record<string, object>> = { vm01: {} }): Promise<readonly Judgement[]> {
  const certificate = await sign(name, ...options)
  const { looks } = await looksAt(Object.fromEntries(Object.entries(vms).map(([id, vm]) => [id, { identity_file: key, identity_certificate: certificate, ...vm }])))
  return certificatesCheck(looks, NOW_MS)
}

const LOGIN = ['-n', 'operator']

describe.skipIf(!hasSshKeygen)('the doctor on user certificates (skipped where ssh-keygen is not installed)', () => {
  it.each([
    ['one that lasts, and when it expires', [...LOGIN, '-V', '20260101:20260207120100'], '1 of 1 hosts have a user certificate; the first expires 2026-02-07 12:01 UTC'],
    ['one that lasts for ever', LOGIN, '1 of 1 hosts have a user certificate; none of them expires'],
    ['one without logins, of which the server decides', ['-V', '20260101:20270101'], '1 of 1 hosts have a user certificate; the first expires 2027-01-01 00:00 UTC'],
    ['one for more logins than this', ['-n', 'root,operator'], '1 of 1 hosts have a user certificate; none of them expires'],
  ])('has nothing to say against %s', async (_, options, message) => {
    expect(await said('good-cert.pub', options)).toEqual([{ check: 'certificates', status: 'ok', message, hint: null }])
  })

  it.each([
    ['has expired', [...LOGIN, '-V', '20260101:20260131120000'], 'the certificate bad-cert.pub of vm01 expired 2026-01-31 12:00 UTC', /-n operator -V \+52w <key>\.pub$/],
    ['expires within a week', [...LOGIN, '-V', '20260101:20260207115900'], 'the certificate bad-cert.pub of vm01 expires 2026-02-07 11:59 UTC, in less than 7 d', /^Have the key signed again: ssh-keygen -s /],
    ['is not valid yet', [...LOGIN, '-V', '20260201:20270101'], 'the certificate bad-cert.pub of vm01 is not valid before 2026-02-01 00:00 UTC', /clock of this machine/],
    ['is for others', ['-n', 'root,deploy'], 'the certificate bad-cert.pub of vm01 is for root, deploy, and not for the login operator', /-n root,deploy,operator .*\n.*AuthorizedPrincipalsFile/],
    ['is for others with names that a shell would read', ['-n', 'a;reboot'], 'the certificate bad-cert.pub of vm01 is for a;reboot, and not for the login operator', /-n 'a;reboot,operator' /],
  ])('warns of one that %s, with what to do', async (_, options, message, hint) => {
    expect(await said('bad-cert.pub', options)).toEqual([{ check: 'certificates', status: 'warning', message, hint: expect.stringMatching(hint) as string }])
  })

  it('says of many hosts once what they share', async () => {
    const vms = { vm01: {}, vm02: {}, vm03: { ssh_user: 'root' } }
    expect((await said('many-cert.pub', [...LOGIN, '-V', '20250101:20260101'], vms)).map(({ message }) => message)).toEqual([
      'the certificate many-cert.pub of vm[01-03] expired 2026-01-01 00:00 UTC',
      'the certificate many-cert.pub of vm03 is for operator, and not for the login root',
    ])
  })

  it('looks at one that lies beside its key, but not for a host that the engine ssh2 serves', async () => {
    await sign('id-cert.pub', ...LOGIN, '-V', '20250101:20260101')
    const { looks } = await looksAt({ vm01: { identity_file: key }, vm02: { identity_file: key, engine: 'ssh2' } })
    expect(certificatesCheck(looks, NOW_MS)).toMatchObject([{ status: 'warning', message: 'the certificate id-cert.pub of vm01 expired 2026-01-01 00:00 UTC' }])
    await rm(join(folder, 'id-cert.pub'))
  })

  it('leaves the login to ssh_config where that says it', async () => {
    expect(await said('alias-cert.pub', ['-n', 'root'], { vm01: { ssh_config: 'db', ssh_user: undefined } })).toMatchObject([{ status: 'ok' }])
  })

  it.each([
    ['that is not there', 'nowhere-cert.pub', /^the certificate of vm01 is not there: /, /identity_certificate/],
    ['that is a plain key', 'plain.pub', /cannot be used: it is a public key without a certificate$/, /ssh-keygen -s/],
  ])('fails for a key whose named certificate is one %s, and advises no new key', async (_, name, message, hint) => {
    await writeFile(join(folder, 'plain.pub'), `${pair.publicKey}\n`)
    const { config, looks } = await looksAt({ vm01: { identity_certificate: join(folder, name) } })
    expect(keysCheck(config.settings, looks)).toEqual([{ check: 'keys', status: 'failed', message: expect.stringMatching(message) as string, hint: expect.stringMatching(hint) as string }])
  })
})

describe('the doctor on keys', () => {
  it('takes none of ours as in order where ssh_config has ways of its own', async () => {
    const { config, looks } = await looksAt({ vm01: { ssh_config: true }, vm02: { identity_file: key } })
    expect(keysCheck(config.settings, looks)).toEqual([{ check: 'keys', status: 'ok', message: '1 of 2 hosts have a key of their own, 1 what ssh_config gives', hint: null }])
    expect(certificatesCheck(looks, NOW_MS)).toMatchObject([{ status: 'skipped' }])
  })

  it.each([[89, false], [90, true], [91, true]])('calls a key of %s days due as keys status does: %s, where key_rotation_days is 90', (days, due) => {
    expect(isDue(ageInDays({ since: new Date(NOW_MS - days * 86_400_000) }, NOW_MS), 90)).toBe(due)
  })
})
