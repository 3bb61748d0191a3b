import { join, posix } from 'node:path'
import type { Command } from 'commander'
import { errorCode, localFileError, makeDirectories } from '../../core/atomic-file.ts'
import { remexError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import type { HostGroup } from '../../fleet/group.ts'
import { withRemex, type Door, type Start } from '../door.ts'
import { TARGETS } from '../run-options.ts'
import { addTransferOptions, reportTransfers, reportTreePlan, transferOptions, type TransferFlags } from '../transfer-report.ts'

/** `remex get`. */
export function defineGet(command: Command, start: Start): void {
  command
    .description('Fetches a file or a tree from hosts. Each file is here whole and verified by SHA-256, or what was here before is untouched.')
    .argument('<targets>', TARGETS)
    .argument('<remote>', 'path on the host')
    .argument('<local>', 'path here; for several hosts a directory, which gets <host>/<name of the file>, or with --recursive the tree as <host>')
  addTransferOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((targets: string, remote: string, local: string, flags: TransferFlags) => start(command, (door) => get(door, { targets, local, remote, flags })))
}

interface Call {
  readonly targets: string
  readonly local: string
  readonly remote: string
  readonly flags: TransferFlags
}

async function get(door: Door, { targets, local, remote, flags }: Call): Promise<number> {
  const options = transferOptions(flags)
  return withRemex(door, async (remex) => {
    const group = remex.hosts(targets)
    const localOf = localPaths(group, { local, remote, recursive: flags.recursive === true })
    if (flags.dryRun && !flags.recursive) {
      const { showDryRun } = await import('../dry-run.ts')
      return showDryRun(door, { config: remex.config, group, requestOf: (vmId) => ({ operation: 'download', local: localOf(vmId), remote, options: { ...options, dryRun: false } }) })
    }
    // A tree makes its own directory, inside one that is there.
    if (group.ids.length > 1 && !flags.dryRun) await makeHostDirectories(group, local)
    if (flags.dryRun) return reportTreePlan(door, group, (live) => group.get(remote, localOf, { ...options, ...live }))
    return reportTransfers(door, group, (live) => group.get(remote, localOf, { ...options, ...live }))
  })
}

function localPaths(group: HostGroup, { local, remote, recursive }: { readonly local: string; readonly remote: string; readonly recursive: boolean }): (vmId: string) => string {
  if (group.ids.length === 1) return () => local
  if (recursive) return (vmId) => join(local, vmId)
  const name = posix.basename(remote)
  if (name === '' || name === '.' || name === '..') throw remexError('USAGE', `${printable(remote)} names no file`)
  return (vmId) => join(local, vmId, name)
}

/** One for each host, with the mode that new directories have here (the umask decides): they are the user's own files. */
async function makeHostDirectories({ ids }: HostGroup, local: string): Promise<void> {
  for (const vmId of ids) {
    const path = join(local, vmId)
    await makeDirectories(path, 0o777).catch((error: unknown) => {
      if (errorCode(error) === 'EEXIST') throw remexError('USAGE', `${printable(path)} is there and no directory, but several hosts need one each`)
      throw localFileError(error, path)
    })
  }
}

const EXAMPLES = `
Examples:
  remex get vm01 /etc/hostname hostname.txt
  remex get @lab /var/log/app.log logs        here: logs/vm01/app.log, logs/vm02/app.log, …
  remex get vm01 /proc/cpuinfo cpuinfo.txt
  remex get @lab /etc/nginx nginx --recursive      here: nginx/vm01/…, nginx/vm02/…
`
