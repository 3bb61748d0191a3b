import type { Host } from '../../src/fleet/host.ts'
import { findProgram } from '../../testkit/daemon.ts'
import { startOpensshServer, type OpensshServer, type OpensshServerOptions } from '../../testkit/openssh-server.ts'

/** Programs that the engine, its servers, and what logs in to them are made of. */
type Program = 'ssh' | 'sshd' | 'ssh-keygen' | 'ssh-agent' | 'ssh-add' | 'softhsm2-util' | 'krb5kdc' | 'kdb5_util' | 'kadmin.local' | 'kinit'

/** What stands behind the name of a suite that needs these programs: nothing, or that it is skipped and why. */
export function skipReason(...programs: readonly Program[]): string {
  const missing = programs.filter((name) => findProgram(name) === undefined)
  return missing.length === 0 ? '' : ` (skipped: not installed: ${missing.join(', ')})`
}

/** Starts a real sshd; for suites that are skipped where there is none. */
export async function startSshd(options: OpensshServerOptions = {}): Promise<OpensshServer> {
  const server = await startOpensshServer(options)
  if ('skipped' in server) throw new Error(server.skipped)
  return server
}

/** Who has logged in to an sshd so far, as its log tells: one line for each. */
export async function acceptedLogins(server: Pick<OpensshServer, 'log'>): Promise<readonly string[]> {
  return (await server.log()).split('\n').filter((line) => line.startsWith('Accepted '))
}

/** A new directory on a host, which may be this very machine and login; gone in the end. */
export async function directoryOn(host: Host): Promise<AsyncDisposable & { readonly path: string }> {
  const path = (await host.run('mktemp -d')).stdout.trim()
  const remove = async (): Promise<void> => {
    await host.run(['rm', '-rf', path])
  }
  return { path, [Symbol.asyncDispose]: remove }
}
