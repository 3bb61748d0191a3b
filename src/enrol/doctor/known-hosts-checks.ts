import type { HostConfig } from '../../config/types.ts'
import { asRemexError } from '../../core/errors.ts'
import { octal } from '../../core/atomic-file.ts'
import { foldIds } from '../../core/fold.ts'
import { quoteWord } from '../../core/quote.ts'
import { HostKeyStore, readKnownHosts } from '../../keys/known-hosts.ts'
import { failed, failedBy, ok, warning, type Judgement } from './finding.ts'

/** Whether the known_hosts files can be read and understood, and whether there is a key for each of these hosts. */
export async function knownHostsChecks(paths: readonly string[], hosts: readonly HostConfig[]): Promise<readonly Judgement[]> {
  const files: Judgement[] = []
  for (const path of paths) files.push(...(await fileChecks(path)))
  // Then no host is trusted, whatever the other files say.
  if (files.some(({ status }) => status === 'failed')) return files
  const missing = await hostsWithoutKey(paths, hosts)
  if (missing) return [...files, missing]
  return files.length > 0 ? files : [ok('known_hosts', `${paths.join(', ')}: ${hosts.length === 1 ? 'a key is' : 'keys are'} known for all that are looked at (${hosts.length})`)]
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

async function hostsWithoutKey(paths: readonly string[], hosts: readonly HostConfig[]): Promise<Judgement | undefined> {
  const store = await HostKeyStore.load(paths)
  const without = hosts.filter(({ hostKeys, address, port }) => hostKeys.length === 0 && store.knownTypes(address, port).length === 0)
  if (without.length === 0) return undefined
  const ids = foldIds(without.map(({ id }) => id))
  return failed('known_hosts', `no key is known for ${ids}: neither by host_key nor in ${paths.join(', ')}`, `remex hosts trust ${quoteWord(ids)}`)
}
