import { stat } from 'node:fs/promises'
import type { HostConfig, Settings } from '../../config/types.ts'
import { errorCode, octal, systemReason } from '../../core/atomic-file.ts'
import { foldIds } from '../../core/fold.ts'
import { quoteWord } from '../../core/quote.ts'
import { isDue } from '../key-status.ts'
import { failed, ok, skipped, warning, type Judgement } from './finding.ts'
import type { KeyLook } from './key-looks.ts'

/**
 * Whether each of these hosts has a key, an agent, or ssh's own ways to log in, and whether a key is due to be replaced. Tells of keys
 * where they are, never what is in them.
 */
export function keysCheck({ keyStoragePath, keyRotationDays }: Settings, looks: readonly KeyLook[]): readonly Judgement[] {
  const wrong = [...missing(keyStoragePath, looks), ...unusable(looks), ...old(keyRotationDays, looks)]
  if (wrong.length > 0) return wrong
  const count = (wanted: KeyLook['by']): number => looks.filter(({ by }) => by === wanted).length
  const [agents, ssh] = [count('agent'), count('ssh_config')]
  const others = [...(agents === 0 ? [] : [`${agents} the ssh-agent’s alone`]), ...(ssh === 0 ? [] : [`${ssh} what ssh_config gives`])]
  return [ok('keys', [`${count('key')} of ${looks.length} hosts have a key of their own`, ...others].join(', '))]
}

/** Whether the key store is ours alone, and there where it has to be. */
export async function keyStoreCheck({ keyStoragePath: path, keyStorageConfigured }: Settings, hosts: readonly HostConfig[]): Promise<Judgement> {
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

/** What a new key would mend. */
const isMissing = ({ host, error }: KeyLook): boolean => error?.code === 'KEY_NOT_FOUND' && host.identityFile === undefined && host.identityCertificate === undefined

function missing(keyStoragePath: string, looks: readonly KeyLook[]): readonly Judgement[] {
  const ids = foldIds(looks.filter(isMissing).map(({ host }) => host.id))
  if (ids === '') return []
  return [failed('keys', `there is no key for ${ids} in ${keyStoragePath}, and no ssh-agent`, `remex keys setup ${quoteWord(ids)}`)]
}

/** Hosts that share a key share what is wrong with it. */
function unusable(looks: readonly KeyLook[]): readonly Judgement[] {
  const byHint = new Map<string, KeyLook[]>()
  for (const look of looks) {
    if (!look.error || isMissing(look)) continue
    byHint.set(look.error.hint, [...(byHint.get(look.error.hint) ?? []), look])
  }
  return [...byHint].map(([hint, [first, ...others]]) => {
    const also = others.length === 0 ? '' : ` (the same for ${foldIds(others.map(({ host }) => host.id))})`
    return failed('keys', `${first?.error?.message ?? ''}${also}`, hint)
  })
}

function old(keyRotationDays: number, looks: readonly KeyLook[]): readonly Judgement[] {
  const late = looks.filter(({ ageDays }) => ageDays !== undefined && isDue(ageDays, keyRotationDays))
  if (late.length === 0) return []
  const ids = foldIds(late.map(({ host }) => host.id))
  const oldest = Math.max(...late.map(({ ageDays }) => ageDays ?? 0))
  const age = late.length === 1 ? `the key of ${ids} is ${oldest} days old` : `the keys of ${ids} are up to ${oldest} days old`
  return [warning('keys', `${age}, and key_rotation_days is ${keyRotationDays}`, `remex keys rotate ${quoteWord(ids)}`)]
}
