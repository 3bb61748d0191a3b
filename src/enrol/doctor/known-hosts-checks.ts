import type { HostConfig } from '../../config/types.ts'
import { asRemexError } from '../../core/errors.ts'
import { octal } from '../../core/atomic-file.ts'
import { foldIds } from '../../core/fold.ts'
import { quoteWord } from '../../core/quote.ts'
import { HostKeyStore, readKnownHosts } from '../../keys/known-hosts.ts'
import { certAuthoritiesOf } from '../../keys/verify-host-key.ts'
import { failed, failedBy, ok, warning, type Judgement } from './finding.ts'

/** Whether the known_hosts files can be read and understood, and whether `loading`, what they have, has a key for each of these hosts. */
export async function knownHostsChecks(paths: readonly string[], hosts: readonly HostConfig[], loading: Promise<HostKeyStore>): Promise<readonly Judgement[]> {
  const files: Judgement[] = []
  for (const path of paths) files.push(...(await fileChecks(path)))
  // Then no host is trusted, whatever the other files say.
  if (files.some(({ status }) => status === 'failed')) return files
  const vouched = vouchers(hosts, await loading)
  const missing = vouched.get('nothing')
  if (missing) return [...files, withoutKey(missing, paths)]
  return files.length > 0 ? files : [ok('known_hosts', `${paths.join(', ')}: ${shownVouchers(vouched)}`)]
}

/** Whether an authority may vouch for the host, by lines that the host's engine reads. */
export function hasAuthority({ address, port, hostKeys, engine }: HostConfig, store: HostKeyStore): boolean {
  return engine !== 'ssh2' && certAuthoritiesOf({ address, port, pinned: hostKeys, store }).length > 0
}

async function fileChecks(path: string): Promise<readonly Judgement[]> {
  try {
    const file = await readKnownHosts(path)
    if (!file) return []
    const { count, first } = HostKeyStore.parse(path, file.text).malformed
    const lines = count === 1 ? 'a line that cannot be understood is' : `${count} lines that cannot be understood are`
    return [
      ...(first ? [warning('known_hosts', `${path}: ${lines} skipped, the first is line ${first.line}`, `Mend it or take it out: sed -n ${first.line}p ${quoteWord(path)}`)] : []),
      ...((file.mode & 0o002) === 0 ? [] : [failed('known_hosts', `${path} can be written by everyone (mode ${octal(file.mode)}), who so decides whom we trust`, `chmod go-w ${quoteWord(path)}`)]),
    ]
  } catch (error) {
    return [failedBy('known_hosts', asRemexError(error))]
  }
}

/** What says which host it is. `ssh_config`: it is known by a name that ssh's settings may give it, which shows when it is connected to. */
type Voucher = 'key' | 'authority' | 'ssh_config' | 'nothing'

function vouchers(hosts: readonly HostConfig[], store: HostKeyStore): ReadonlyMap<Voucher, readonly string[]> {
  const ids = new Map<Voucher, string[]>()
  for (const host of hosts) {
    const voucher = voucherOf(host, store)
    ids.set(voucher, [...(ids.get(voucher) ?? []), host.id])
  }
  return ids
}

function voucherOf(host: HostConfig, store: HostKeyStore): Voucher {
  const { hostKeys, address, port, sshConfig } = host
  if (hostKeys.length > 0 || store.knownTypes(address, port).length > 0) return 'key'
  if (hasAuthority(host, store)) return 'authority'
  return sshConfig === undefined ? 'nothing' : 'ssh_config'
}

function shownVouchers(vouched: ReadonlyMap<Voucher, readonly string[]>): string {
  const count = (voucher: Voucher): number => vouched.get(voucher)?.length ?? 0
  const [keys, authorities, names] = [count('key'), count('authority'), count('ssh_config')]
  return [
    ...(keys > 0 || authorities + names === 0 ? [`${keys === 1 ? 'a key is' : 'keys are'} known for ${authorities + names === 0 ? `all that are looked at (${keys})` : keys}`] : []),
    ...(authorities === 0 ? [] : [`an authority vouches for ${authorities}`]),
    ...(names === 0 ? [] : [`${names} may be known by another name, of ssh_config`]),
  ].join(', ')
}

function withoutKey(missing: readonly string[], paths: readonly string[]): Judgement {
  const ids = foldIds(missing)
  return failed('known_hosts', `no key is known for ${ids}: neither by host_key nor in ${paths.join(', ')}`, `remex hosts trust ${quoteWord(ids)}`)
}
