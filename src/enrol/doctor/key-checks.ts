import { stat } from 'node:fs/promises'
import type { HostConfig, Settings } from '../../config/types.ts'
import { errorCode, octal, systemReason } from '../../core/atomic-file.ts'
import { asRemexError, type RemexError } from '../../core/errors.ts'
import { foldIds } from '../../core/fold.ts'
import { quoteWord } from '../../core/quote.ts'
import { Secret } from '../../core/secret.ts'
import { findIdentities } from '../../keys/identities.ts'
import { HostKeyFiles } from '../../keys/key-store.ts'
import { ageInDays } from '../key-status.ts'
import { failed, ok, skipped, warning, type Judgement } from './finding.ts'

/** What the keys are looked for with. */
export interface KeySources {
  readonly settings: Settings
  readonly env: NodeJS.ProcessEnv
  readonly nowMs: number
}

/** Whether the key store is ours alone, and whether each of these hosts has a key or an agent that can be used. Tells of keys where they are, never what is in them. */
export async function keyChecks(sources: KeySources, hosts: readonly HostConfig[]): Promise<readonly Judgement[]> {
  const store = await storeCheck(sources.settings, hosts)
  const reachable = store.status === 'failed' ? hosts.filter(({ identityFile }) => identityFile !== undefined) : hosts
  if (reachable.length === 0) return [store, skipped('keys', hosts.length === 0 ? 'there is no host to have one' : 'the key store cannot be used')]
  const looks: Look[] = []
  for (const host of reachable) looks.push(await lookAt(sources, host))
  return [store, ...keysOf(sources.settings, looks)]
}

async function storeCheck({ keyStoragePath: path, keyStorageConfigured }: Settings, hosts: readonly HostConfig[]): Promise<Judgement> {
  const make = `install -d -m 700 ${quoteWord(path)}`
  try {
    const stats = await stat(path)
    if (!stats.isDirectory()) return failed('key_store', `${path} is not a directory`, 'Correct key_storage_path.')
    const ours = process.getuid?.()
    if (ours !== undefined && stats.uid !== ours && stats.uid !== 0) return failed('key_store', `${path} belongs to user ${stats.uid}, not to us (${ours}) or root`, `sudo chown ${ours} ${quoteWord(path)}`)
    const mode = `${path} has mode ${octal(stats.mode)}`
    if ((stats.mode & 0o022) !== 0) return failed('key_store', `${mode}: others can put keys there`, `chmod 700 ${quoteWord(path)}`)
    if ((stats.mode & 0o077) !== 0) return warning('key_store', `${mode}: others can see which keys there are`, `chmod 700 ${quoteWord(path)}`)
    return ok('key_store', mode)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') return failed('key_store', `${path} cannot be used: ${systemReason(error)}`, 'Correct key_storage_path, or the mode of the directories above it.')
    if (keyStorageConfigured && hosts.some(({ identityFile }) => identityFile === undefined)) return failed('key_store', `${path} (key_storage_path) is not there`, make)
    return skipped('key_store', `${path} is not there, and need not be: a host may have identity_file, or an agent`)
  }
}

/** What was found for one host. */
interface Look {
  readonly host: HostConfig
  readonly by: 'key' | 'agent' | 'nothing'
  readonly error?: RemexError
  /** Days since the key was made; undefined where that is not known. */
  readonly ageDays?: number | undefined
}

async function lookAt({ settings, env, nowMs }: KeySources, host: HostConfig): Promise<Look> {
  const { id: vmId, identityFile } = host
  const { keyStoragePath, keyStorageConfigured } = settings
  try {
    // Nobody is asked for a passphrase here: whether there is a right one shows when the host is logged in to.
    const askPassphrase = (): Promise<Secret> => Promise.resolve(new Secret(''))
    const found = await findIdentities({ vmId, identityFile, keyStoragePath, keyStorageConfigured }, { env, askPassphrase })
    if (!found.some(({ kind }) => kind === 'key')) return { host, by: 'agent' }
    const current = await new HostKeyFiles({ vmId, identityFile, keyStoragePath }).current().catch(() => undefined)
    return { host, by: 'key', ageDays: current && ageInDays(current, nowMs) }
  } catch (error) {
    return { host, by: 'nothing', error: asRemexError(error) }
  }
}

function keysOf(settings: Settings, looks: readonly Look[]): readonly Judgement[] {
  const wrong = [...missing(settings, looks), ...unusable(looks), ...old(settings, looks)]
  if (wrong.length > 0) return wrong
  const byAgent = looks.filter(({ by }) => by === 'agent').length
  const byKey = `${looks.length - byAgent} of ${looks.length} hosts have a key of their own`
  return [ok('keys', byAgent === 0 ? byKey : `${byKey}, ${byAgent} the ssh-agent’s alone`)]
}

const isMissing = ({ host, error }: Look): boolean => error?.code === 'KEY_NOT_FOUND' && host.identityFile === undefined

function missing({ keyStoragePath }: Settings, looks: readonly Look[]): readonly Judgement[] {
  const ids = foldIds(looks.filter(isMissing).map(({ host }) => host.id))
  if (ids === '') return []
  return [failed('keys', `there is no key for ${ids} in ${keyStoragePath}, and no ssh-agent`, `remex keys setup ${quoteWord(ids)}`)]
}

/** Hosts that share a key share what is wrong with it. */
function unusable(looks: readonly Look[]): readonly Judgement[] {
  const byHint = new Map<string, Look[]>()
  for (const look of looks) {
    if (!look.error || isMissing(look)) continue
    byHint.set(look.error.hint, [...(byHint.get(look.error.hint) ?? []), look])
  }
  return [...byHint].map(([hint, [first, ...others]]) => {
    const also = others.length === 0 ? '' : ` (the same for ${foldIds(others.map(({ host }) => host.id))})`
    return failed('keys', `${first?.error?.message ?? ''}${also}`, hint)
  })
}

function old({ keyRotationDays }: Settings, looks: readonly Look[]): readonly Judgement[] {
  const late = looks.filter(({ ageDays }) => ageDays !== undefined && ageDays > keyRotationDays)
  if (late.length === 0) return []
  const ids = foldIds(late.map(({ host }) => host.id))
  const oldest = Math.max(...late.map(({ ageDays }) => ageDays ?? 0))
  const age = late.length === 1 ? `the key of ${ids} is ${oldest} days old` : `the keys of ${ids} are up to ${oldest} days old`
  return [warning('keys', `${age}, and key_rotation_days is ${keyRotationDays}`, `remex keys rotate ${quoteWord(ids)}`)]
}
