import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { OpensshServer } from '../../testkit/openssh-server.ts'
import { failureOf } from '../failure-of.ts'
import { startKerberos, type KerberosPlace } from './kerberos-place.ts'
import { acceptedLogins, skipReason, startSshd } from './openssh-here.ts'
import { sshConfigFleet, type SshConfigFleet } from './ssh-config-fleet.ts'

/** It prints the settings that it was built with, and no others. */
const hasGssapi = (): boolean => /^gssapiauthentication /m.test(spawnSync('ssh', ['-G', '-F', '/dev/null', 'host'], { encoding: 'utf8' }).stdout)

const reason = skipReason('ssh', 'sshd', 'krb5kdc', 'kdb5_util', 'kadmin.local', 'kinit') || (hasGssapi() ? '' : ' (skipped: the ssh of this machine has no GSSAPI)')

describe.skipIf(reason !== '')(`a Kerberos ticket${reason}`, () => {
  let kerberos: KerberosPlace
  let server: OpensshServer
  beforeAll(async () => {
    kerberos = await startKerberos()
    server = await startSshd({ config: ['GSSAPIAuthentication yes', 'GSSAPIStrictAcceptorCheck no'], sshdEnv: kerberos.hostEnv })
    await kerberos.login(server.login)
  })
  afterAll(async () => {
    await server.close()
    await kerberos[Symbol.asyncDispose]()
  })

  /** Without any key that the host would know. */
  function fleetWith(env: Readonly<Record<string, string>>, more: readonly string[] = ['GSSAPIAuthentication yes']): Promise<SshConfigFleet> {
    const own = [`HostName ${server.address}`, `Port ${server.port}`, `User ${server.login}`, 'IdentityFile none', ...more]
    return sshConfigFleet(server, { lines: () => ['Host db', ...own.map((line) => `  ${line}`)], env })
  }

  it('opens a host whose settings of ssh have GSSAPIAuthentication', async () => {
    await using fleet = await fleetWith(kerberos.ticketEnv)
    expect(await fleet.remex.host('vm01').run('echo "in as $USER"')).toMatchObject({ stdout: `in as ${server.login}\n`, engine: 'openssh' })
    expect((await acceptedLogins(server)).at(-1)).toContain(`Accepted gssapi-with-mic for ${server.login} `)
  })

  it.each<[sentence: string, env: (place: KerberosPlace) => Readonly<Record<string, string>>, lines: readonly string[] | undefined]>([
    ['where there is none', ({ ticketEnv }) => ({ ...ticketEnv, KRB5CCNAME: 'FILE:/nonexistent/tickets' }), undefined],
    ['where the settings do not have it', ({ ticketEnv }) => ticketEnv, []],
  ])('opens nothing %s', async (_sentence, env, lines) => {
    await using fleet = await fleetWith(env(kerberos), lines)
    expect(await failureOf(fleet.remex.host('vm01').run('true'))).toMatchObject({ code: 'AUTH_FAILED', mayHaveRun: false })
  })
})
