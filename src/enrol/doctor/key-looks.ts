import type { HostConfig, Settings } from '../../config/types.ts'
import { asRemexError, type RemexError } from '../../core/errors.ts'
import type { Identity } from '../../core/identity.ts'
import { Secret } from '../../core/secret.ts'
import { findIdentities } from '../../keys/identities.ts'
import { HostKeyFiles } from '../../keys/key-store.ts'
import { ageInDays } from '../key-status.ts'

/** What the keys are looked for with. */
export interface KeySources {
  readonly settings: Settings
  readonly env: NodeJS.ProcessEnv
  readonly nowMs: number
}

/** What there is to log in to one host with. */
export interface KeyLook {
  readonly host: HostConfig
  /** Whose it is. `ssh_config`: there is none of ours, and ssh has ways of its own there. */
  readonly by: 'key' | 'agent' | 'ssh_config' | 'nothing'
  readonly identities: readonly Identity[]
  /** Why there is nothing. */
  readonly error?: RemexError
  /** Days since the key was made; undefined where that is not known. */
  readonly ageDays?: number | undefined
}

/** What there is to log in to these hosts with, in their order. Reads files, and asks nobody. */
export async function lookAtKeys(sources: KeySources, hosts: readonly HostConfig[]): Promise<readonly KeyLook[]> {
  const looks: KeyLook[] = []
  for (const host of hosts) looks.push(await lookAt(sources, host))
  return looks
}

async function lookAt({ settings, env, nowMs }: KeySources, host: HostConfig): Promise<KeyLook> {
  const { id: vmId, identityFile, identityCertificate, sshConfig } = host
  const { keyStoragePath, keyStorageConfigured } = settings
  try {
    // Nobody is asked for a passphrase here: whether there is a right one shows when the host is logged in to.
    const askPassphrase = (): Promise<Secret> => Promise.resolve(new Secret(''))
    const request = { vmId, identityFile, identityCertificate, mayBeNone: sshConfig !== undefined, keyStoragePath, keyStorageConfigured }
    const identities = await findIdentities(request, { env, askPassphrase })
    if (identities.length === 0) return { host, by: 'ssh_config', identities }
    if (!identities.some(({ kind }) => kind === 'key')) return { host, by: 'agent', identities }
    const current = await new HostKeyFiles({ vmId, identityFile, keyStoragePath }).current().catch(() => undefined)
    return { host, by: 'key', identities, ageDays: current && ageInDays(current, nowMs) }
  } catch (error) {
    return { host, by: 'nothing', identities: [], error: asRemexError(error) }
  }
}
