import { lstat, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode, systemReason } from '../core/atomic-file.ts'
import { remexError } from '../core/errors.ts'
import type { Agent, Identity, PrivateKey } from '../core/identity.ts'
import { printable } from '../core/printable.ts'
import { loadKeyFile, type PassphraseSource } from './key-file.ts'
import { readPublicKey } from './public-key-file.ts'

/** Whose identities are looked for, and where. Paths are expanded. */
export interface IdentityRequest {
  /** The host's id (`vm01`): part of the names of its key files. */
  readonly vmId: string
  /** Only this key is used where it is set. */
  readonly identityFile: string | undefined
  /** Directory with `id_<type>_<vm>` files. */
  readonly keyStoragePath: string
  /** Whether the user named that directory: then it must be there. */
  readonly keyStorageConfigured: boolean
}

/** Key types in the order in which they are looked for: the first that exists is used. */
export const KEY_TYPES = ['ed25519', 'rsa', 'ecdsa']

/**
 * The ways to log in to a host, in the order to try them: the host's own `identity_file` alone, which may be the public half of
 * a key that the agent has; else the first of
 * `id_ed25519_<vm>`, `id_rsa_<vm>`, `id_ecdsa_<vm>` in the key store, then the ssh-agent at `$SSH_AUTH_SOCK`.
 * A key file that is there and fails its checks is an error; nothing else is tried in its place.
 * Throws `KEY_NOT_FOUND` where there is neither key nor agent, `KEY_UNUSABLE` for a key or key directory that cannot be used
 * (a configured directory that is not there is one), `CONFIG_INVALID` for an id that cannot be part of a file name.
 */
export async function findIdentities(request: IdentityRequest, context: PassphraseSource): Promise<readonly Identity[]> {
  const { vmId, identityFile } = request
  if (identityFile !== undefined) return [(await keyOfAgent(identityFile, request, context)) ?? (await loadKeyFile({ path: identityFile, vmId }, context))]
  const identities = [await storedKey(request, context), await agentOf(context.env)].filter((found) => found !== undefined)
  if (identities.length === 0) throw notFound(request, context.env)
  return identities
}

/** Where the file is a public key, its private half is the agent's, as with ssh itself. Source: ssh_config(5), IdentityFile. */
async function keyOfAgent(path: string, { vmId }: IdentityRequest, { env }: PassphraseSource): Promise<Agent | undefined> {
  const key = await readPublicKey(path)
  if (!key) return undefined
  const agent = await agentOf(env)
  if (agent) return { ...agent, only: key.blob }
  throw remexError('KEY_UNUSABLE', `the key ${printable(path)} of ${printable(vmId)} cannot be used: it is a public key, and there is no ssh-agent with its private half`, {
    hint: 'Name the private key: the file of the same name without .pub. Or start the agent and add the key to it (ssh-add).',
    vmId,
  })
}

async function storedKey(request: IdentityRequest, context: PassphraseSource): Promise<PrivateKey | undefined> {
  const { vmId } = request
  refuseUnsafeId(vmId)
  await refuseUnusableDirectory(request)
  for (const type of KEY_TYPES) {
    const path = join(request.keyStoragePath, `id_${type}_${vmId}`)
    if (await exists(path, vmId)) return loadKeyFile({ path, vmId }, context)
  }
  return undefined
}

function refuseUnsafeId(vmId: string): void {
  if (!/[/\u0000-\u001f\u007f]/.test(vmId) && vmId !== '') return
  throw remexError('CONFIG_INVALID', `the host id "${printable(vmId)}" cannot be part of the name of a key file`, {
    hint: 'Give the host another id under vms:, or set its identity_file.',
    vmId,
  })
}

async function refuseUnusableDirectory({ vmId, keyStoragePath, keyStorageConfigured }: IdentityRequest): Promise<void> {
  const reason = await stat(keyStoragePath).then(
    (stats) => (stats.isDirectory() ? undefined : 'it is not a directory'),
    (error: unknown) => (errorCode(error) === 'ENOENT' && !keyStorageConfigured ? undefined : systemReason(error)),
  )
  if (reason === undefined) return
  throw remexError('KEY_UNUSABLE', `the key directory ${printable(keyStoragePath)} cannot be used: ${reason}`, {
    hint: `Make it with mode 0700 and put the key of ${printable(vmId)} in it, or correct key_storage_path.`,
    vmId,
  })
}

/** Whether there is anything at `path`. A link that leads nowhere counts: it was meant to be the key. */
async function exists(path: string, vmId: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false
    const message = `the key ${printable(path)} of ${printable(vmId)} cannot be used: ${systemReason(error)}`
    throw remexError('KEY_UNUSABLE', message, { vmId, cause: error })
  }
}

/** The ssh-agent at `$SSH_AUTH_SOCK`; undefined where none is. */
export async function agentOf(env: PassphraseSource['env']): Promise<Agent | undefined> {
  const socketPath = env.SSH_AUTH_SOCK
  if (!socketPath) return undefined
  const isSocket = await stat(socketPath).then((stats) => stats.isSocket(), () => false)
  return isSocket ? { kind: 'agent', socketPath } : undefined
}

function notFound({ vmId, keyStoragePath }: IdentityRequest, env: PassphraseSource['env']): Error {
  const agent = env.SSH_AUTH_SOCK ? 'SSH_AUTH_SOCK does not lead to an agent' : 'no ssh-agent is running (SSH_AUTH_SOCK)'
  const message = `there is no key for ${printable(vmId)} in ${printable(keyStoragePath)}, and ${agent}`
  const names = KEY_TYPES.map((type) => `id_${type}_${printable(vmId)}`).join(', ')
  const hint = `Put the private key there as ${names}, set identity_file, or start an agent.`
  return remexError('KEY_NOT_FOUND', message, { hint, vmId })
}
