import { lstat, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode, systemReason } from '../core/atomic-file.ts'
import { remexError } from '../core/errors.ts'
import type { HostKey } from '../core/host-key.ts'
import type { Agent, Identity } from '../core/identity.ts'
import { printable } from '../core/printable.ts'
import { quoteWord } from '../core/quote.ts'
import { certified, loadCertificate, type NamedCertificate } from './identity-certificate.ts'
import { loadKeyFile, type KeyFile, type PassphraseSource } from './key-file.ts'
import { readPublicKey, readSecurityKey } from './public-key-file.ts'
import { parseCertificate } from './user-certificate.ts'

/** Whose identities are looked for, and where. Paths are expanded. */
export interface IdentityRequest {
  /** The host's id (`vm01`): part of the names of its key files. */
  readonly vmId: string
  /** Only this key is used where it is set. */
  readonly identityFile: string | undefined
  /** A user certificate of the key that is used. Default: the one that lies beside it, if any. */
  readonly identityCertificate?: string | undefined
  /** Directory with `id_<type>_<vm>` files. */
  readonly keyStoragePath: string
  /** Whether the user named that directory: then it must be there. */
  readonly keyStorageConfigured: boolean
  /** Whether there may be none: settings of `ssh` have ways of their own, and its agent, where we have no key. Default: false. */
  readonly mayBeNone?: boolean
}

/** Key types in the order in which they are looked for: the first that exists is used. */
export const KEY_TYPES = ['ed25519', 'rsa', 'ecdsa']

/**
 * The ways to log in to a host, in the order to try them: the host's own `identity_file` alone, which may be a key that only the
 * agent can use (a public half, or the file of a security key); else the first of
 * `id_ed25519_<vm>`, `id_rsa_<vm>`, `id_ecdsa_<vm>` in the key store, then the ssh-agent at `$SSH_AUTH_SOCK`.
 * A key has its certificate with it: `identity_certificate`, else the one beside it. Without a key of our own, a named certificate
 * picks its key among the agent's. A key file that is there and fails its checks is an error; nothing else is tried in its place.
 * Throws `KEY_NOT_FOUND` where there is neither key nor agent and there must be one, or no certificate where one is named;
 * `KEY_UNUSABLE` for a key, certificate or key directory that cannot be used
 * (a configured directory that is not there is one), `CONFIG_INVALID` for an id that cannot be part of a file name.
 */
export async function findIdentities(request: IdentityRequest, context: PassphraseSource): Promise<readonly Identity[]> {
  const { vmId, identityFile, identityCertificate } = request
  const named = identityCertificate === undefined ? undefined : await loadCertificate({ path: identityCertificate, vmId })
  const path = identityFile ?? (await storedPath(request))
  const agent = await agentOf(context.env)
  if (path === undefined) return withoutKey(request, context.env, { named, agent })
  const key = { path, vmId }
  const found = await agentsKeyAt(path, { isNamed: identityFile !== undefined })
  const identity = await certified(found ? byAgent(key, found, agent) : await loadKeyFile(key, context), key, named)
  return identityFile === undefined && agent ? [identity, agent] : [identity]
}

interface WithoutKey {
  readonly named: NamedCertificate | undefined
  readonly agent: Agent | undefined
}

function withoutKey(request: IdentityRequest, env: PassphraseSource['env'], { named, agent }: WithoutKey): readonly Identity[] {
  if (agent && named) return [{ ...agent, only: named.plainKeyBlob, certificate: named.certificate }]
  if (!named && request.mayBeNone) return []
  if (agent) return [agent]
  throw notFound(request, env)
}

/** The agent with this one of its keys. */
function byAgent({ path, vmId }: KeyFile, { key, reason, hint }: AgentsKey, agent: Agent | undefined): Agent {
  const isCertificate = parseCertificate(key.blob) !== undefined
  if (agent && !isCertificate) return { ...agent, only: key.blob }
  throw remexError('KEY_UNUSABLE', `the key ${printable(path)} of ${printable(vmId)} cannot be used: ${isCertificate ? 'it is a certificate' : reason}`, {
    hint: isCertificate ? 'Name it in identity_certificate, and in identity_file the key that it is of.' : hint,
    vmId,
  })
}

/** A key that only an agent can use. */
interface AgentsKey {
  readonly key: HostKey
  /** Why it cannot be used without an agent. */
  readonly reason: string
  readonly hint: string
}

/** Of a public key that is named, the private half is the agent's, as with ssh itself. Source: ssh_config(5), IdentityFile. */
async function agentsKeyAt(path: string, { isNamed }: { readonly isNamed: boolean }): Promise<AgentsKey | undefined> {
  const publicKey = isNamed ? await readPublicKey(path) : undefined
  if (publicKey) {
    const hint = 'Name the private key: the file of the same name without .pub. Or start the agent and add the key to it (ssh-add).'
    return { key: publicKey, reason: 'it is a public key, and there is no ssh-agent with its private half', hint }
  }
  const securityKey = await readSecurityKey(path)
  const hint = `Start the agent and add the key to it: ssh-add ${printable(quoteWord(path))}`
  return securityKey && { key: securityKey, reason: 'its private half is in a security key, and there is no ssh-agent to ask it', hint }
}

/** The file of the host's key in the key store; undefined where there is none. */
async function storedPath(request: IdentityRequest): Promise<string | undefined> {
  const { vmId } = request
  refuseUnsafeId(vmId)
  await refuseUnusableDirectory(request)
  for (const type of KEY_TYPES) {
    const path = join(request.keyStoragePath, `id_${type}_${vmId}`)
    if (await exists(path, vmId)) return path
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

function notFound({ vmId, keyStoragePath, mayBeNone = false }: IdentityRequest, env: PassphraseSource['env']): Error {
  const agent = env.SSH_AUTH_SOCK ? 'SSH_AUTH_SOCK does not lead to an agent' : 'no ssh-agent is running (SSH_AUTH_SOCK)'
  const message = `there is no key for ${printable(vmId)} in ${printable(keyStoragePath)}, and ${agent}`
  const names = KEY_TYPES.map((type) => `id_${type}_${printable(vmId)}`).join(', ')
  const hint = mayBeNone
    ? 'identity_certificate goes with a key that is named here: set identity_file, or name both in ssh_config (IdentityFile, CertificateFile).'
    : `Put the private key there as ${names}, set identity_file, or start an agent.`
  return remexError('KEY_NOT_FOUND', message, { hint, vmId })
}
