import type { HostConfig, Settings } from '../config/types.ts'
import { hostKeyFromBlob } from '../core/host-key.ts'
import type { Identity } from '../core/identity.ts'
import { printable } from '../core/printable.ts'
import type { Engine } from './contract.ts'

/** The engines there are. */
export type Engines = { readonly [name in Engine['name']]: Engine }

/** Which engine serves a host, and what asked for it. */
export interface EngineChoice {
  readonly name: Engine['name']
  /** For people and the audit log: a setting, or a fact. */
  readonly reason: string
  /** What the machine's `ssh` is needed for, in words that are the same for every host. Undefined: it is not needed. */
  readonly need?: string
}

/** What a host needs that not every engine has. */
export interface EngineNeeds {
  readonly identities: readonly Identity[]
  /** Whether an authority may vouch for the host's key. */
  readonly hasAuthority: boolean
}

/** The engine that is set for a host; else the in-process one, unless the host needs what only the machine's `ssh` has. */
export function chooseEngine(host: Pick<HostConfig, 'engine' | 'sshConfig'>, { requirePostQuantum }: Pick<Settings, 'requirePostQuantum'>, { identities, hasAuthority }: EngineNeeds): EngineChoice {
  if (host.engine === 'ssh2') return { name: 'ssh2', reason: 'engine: ssh2' }
  if (host.engine === 'openssh') return { name: 'openssh', reason: 'engine: openssh', need: 'engine: openssh' }
  const needs: readonly (Need | false | undefined)[] = [
    requirePostQuantum && { need: 'require_post_quantum' },
    host.sshConfig && { need: 'ssh_config' },
    ...identities.map(needOf),
    hasAuthority && { need: 'a @cert-authority of its host key' },
  ]
  const found = needs.find((one) => typeof one === 'object')
  return found ? { name: 'openssh', reason: `auto: ${found.exactly ?? found.need}`, need: found.need } : { name: 'ssh2', reason: 'auto' }
}

interface Need {
  readonly need: string
  /** What of this host it is, where that says more. */
  readonly exactly?: string
}

function needOf(identity: Identity): Need | undefined {
  if (identity.kind === 'password') return undefined
  if (identity.certificate) return { need: 'a user certificate', exactly: `the certificate ${printable(identity.certificate.label)}` }
  const type = identity.kind === 'agent' && identity.only ? hostKeyFromBlob(identity.only)?.type : undefined
  return type?.startsWith('sk-') === true ? { need: 'a security key' } : undefined
}
