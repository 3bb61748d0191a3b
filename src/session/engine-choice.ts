import type { HostConfig, Settings } from '../config/types.ts'
import { hostKeyFromBlob } from '../core/host-key.ts'
import type { Identity } from '../core/identity.ts'
import { printable } from '../core/printable.ts'
import type { Engine } from '../transport/contract.ts'

/** The engines there are. */
export type Engines = { readonly [name in Engine['name']]: Engine }

/** Which engine serves a host, and what asked for it. */
export interface EngineChoice {
  readonly name: Engine['name']
  /** For people and the audit log: a setting, or a fact. */
  readonly reason: string
}

/** What a host needs that not every engine has. */
export interface EngineNeeds {
  readonly identities: readonly Identity[]
  /** Whether an authority may vouch for the host's key. */
  readonly hasAuthority: boolean
}

/** The engine that is set for a host; else the in-process one, unless the host needs what only the machine's `ssh` has. */
export function chooseEngine(host: HostConfig, { requirePostQuantum }: Pick<Settings, 'requirePostQuantum'>, { identities, hasAuthority }: EngineNeeds): EngineChoice {
  if (host.engine !== 'auto') return { name: host.engine, reason: `engine: ${host.engine}` }
  const needs = [
    requirePostQuantum && 'require_post_quantum',
    host.sshConfig && 'ssh_config',
    ...identities.map(needOf),
    hasAuthority && 'a @cert-authority of its host key',
  ]
  const need = needs.find((one) => typeof one === 'string')
  return need === undefined ? { name: 'ssh2', reason: 'auto' } : { name: 'openssh', reason: `auto: ${need}` }
}

function needOf(identity: Identity): string | undefined {
  if (identity.kind === 'password') return undefined
  if (identity.certificate) return `the certificate ${printable(identity.certificate.label)}`
  const type = identity.kind === 'agent' && identity.only ? hostKeyFromBlob(identity.only)?.type : undefined
  return type?.startsWith('sk-') === true ? 'a security key' : undefined
}
