import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findProgram, startDaemon } from '../../testkit/daemon.ts'

const REALM = 'REMEX.TEST'

/** A Kerberos realm of its own, with a KDC on loopback. */
export interface KerberosPlace extends AsyncDisposable {
  /** For who has the key of `host/127.0.0.1`: an sshd. */
  readonly hostEnv: Readonly<Record<string, string>>
  /** For who uses tickets. There are none yet. */
  readonly ticketEnv: Readonly<Record<string, string>>
  /** Gets a ticket for this user of the realm, who is made first. */
  login(user: string): Promise<void>
}

/** Starts one; for suites that are skipped where its programs are not installed. */
export async function startKerberos(): Promise<KerberosPlace> {
  const folder = await mkdtemp(join(tmpdir(), 'remex-krb5-'))
  const env = { KRB5_CONFIG: join(folder, 'krb5.conf'), KRB5_KDC_PROFILE: join(folder, 'kdc.conf'), KRB5CCNAME: `FILE:${join(folder, 'tickets')}` }
  const run = (program: string, ...args: readonly string[]): Promise<unknown> => promisify(execFile)(findProgram(program) ?? program, args, { env: { ...process.env, ...env } })
  const give = async (principal: string, keytab: string): Promise<void> => {
    await run('kadmin.local', '-q', `addprinc -randkey ${principal}`)
    await run('kadmin.local', '-q', `ktadd -k ${join(folder, keytab)} ${principal}`)
  }
  const settle = async (port: number): Promise<void> => {
    await writeFile(env.KRB5_CONFIG, clientSettings(port))
    await writeFile(env.KRB5_KDC_PROFILE, kdcSettings(folder, port))
  }
  await settle(0)
  await run('kdb5_util', 'create', '-s', '-r', REALM, '-P', 'master')
  await give('host/127.0.0.1', 'host.keytab')
  const kdc = await startDaemon({
    file: findProgram('krb5kdc') ?? 'krb5kdc',
    logPath: join(folder, 'log'),
    listening: /commencing operation/,
    env,
    args: async (port) => {
      await settle(port)
      return ['-n']
    },
  })
  return {
    hostEnv: { ...env, KRB5_KTNAME: `FILE:${join(folder, 'host.keytab')}` },
    ticketEnv: env,
    login: async (user) => {
      await give(user, `${user}.keytab`)
      await run('kinit', '-k', '-t', join(folder, `${user}.keytab`), user)
    },
    async [Symbol.asyncDispose]() {
      await kdc.close()
      await rm(folder, { recursive: true })
    },
  }
}

/** Nothing is asked of the DNS, and hosts are known by their addresses. */
function clientSettings(port: number): string {
  const settings = { default_realm: REALM, dns_canonicalize_hostname: false, rdns: false, dns_lookup_kdc: false, dns_lookup_realm: false, udp_preference_limit: 1 }
  const lines = Object.entries(settings).map(([name, value]) => `  ${name} = ${value}`)
  return ['[libdefaults]', ...lines, '[realms]', `  ${REALM} = {`, `    kdc = 127.0.0.1:${port}`, '  }', ''].join('\n')
}

function kdcSettings(folder: string, port: number): string {
  const paths = ['database_name = principal', 'key_stash_file = stash', 'acl_file = acl'].map((line) => `    ${line.replace('= ', `= ${folder}/`)}`)
  return ['[kdcdefaults]', '  kdc_listen = ""', `  kdc_tcp_listen = 127.0.0.1:${port}`, '[realms]', `  ${REALM} = {`, ...paths, '  }', '[logging]', '  kdc = STDERR', ''].join('\n')
}
