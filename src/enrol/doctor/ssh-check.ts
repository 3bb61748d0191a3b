import type { HostConfig, Settings } from '../../config/types.ts'
import { asRemexError } from '../../core/errors.ts'
import { foldIds } from '../../core/fold.ts'
import { hostKeyFromBlob } from '../../core/host-key.ts'
import type { Identity } from '../../core/identity.ts'
import { POST_QUANTUM_KEX } from '../../transport/algorithms.ts'
import type { SshProgram } from '../../transport/openssh/program.ts'
import { failed, ok, skipped, type Judgement } from './finding.ts'

/** Asks this machine's `ssh` what it can do. Rejects where there is none that the engine `openssh` can use. */
export type AskSsh = () => Promise<SshProgram>

/** What decides whether a host needs this machine's `ssh`. */
export interface SshNeeds {
  readonly host: HostConfig
  readonly settings: Pick<Settings, 'requirePostQuantum'>
  readonly identities: readonly Identity[]
  /** Whether an authority may vouch for the host's key. */
  readonly hasAuthority: boolean
}

/** Whether the `ssh` of this machine is fit for the hosts that need it. Undefined: it cannot be asked. */
export async function sshCheck(ask: AskSsh | undefined, hosts: readonly SshNeeds[]): Promise<Judgement> {
  if (!ask) return skipped('ssh', 'it is not asked')
  const needing = hosts.flatMap((one) => needOf(one) ?? [])
  const ids = foldIds(needing.map(({ id }) => id))
  try {
    const program = await ask()
    const version = `OpenSSH ${program.version.join('.')}`
    const isQuantum = hosts.some(({ settings }) => settings.requirePostQuantum)
    if (isQuantum && needing.length > 0 && !POST_QUANTUM_KEX.some(program.knows)) {
      return failed('ssh', `${version} has no key exchange that withstands quantum computers, and require_post_quantum is set`, 'Update it to 9.0 or later, or set require_post_quantum: false.')
    }
    return ok('ssh', `${version}, ${needing.length === 0 ? 'which no host needs' : `which ${ids} ${needing.length === 1 ? 'needs' : 'need'} (${reasons(needing)})`}`)
  } catch (error) {
    const { message, hint } = asRemexError(error)
    if (needing.length === 0) return skipped('ssh', `${message}; no host needs it`)
    return failed('ssh', `${message}; for ${ids} (${reasons(needing)})`, hint)
  }
}

interface Need {
  readonly id: string
  readonly why: string
}

/** As connecting decides it, which looks at the same. Undefined: the host needs nothing of it. */
export function needOf({ host, settings, identities, hasAuthority }: SshNeeds): Need | undefined {
  if (host.engine === 'ssh2') return undefined
  const whys = [
    host.engine === 'openssh' && 'engine: openssh',
    settings.requirePostQuantum && 'require_post_quantum',
    host.sshConfig !== undefined && 'ssh_config',
    identities.some((identity) => identity.kind !== 'password' && identity.certificate !== undefined) && 'a user certificate',
    identities.some(isSecurityKey) && 'a security key',
    hasAuthority && 'a @cert-authority of its host key',
  ]
  const why = whys.find((one) => typeof one === 'string')
  return why === undefined ? undefined : { id: host.id, why }
}

function isSecurityKey(identity: Identity): boolean {
  if (identity.kind !== 'agent' || !identity.only) return false
  return hostKeyFromBlob(identity.only)?.type.startsWith('sk-') === true
}

const reasons = (needing: readonly Need[]): string => [...new Set(needing.map(({ why }) => why))].join(', ')
