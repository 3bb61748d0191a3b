import type { Command } from 'commander'
import { withRemex, type Door, type Start } from '../door.ts'
import { requireLocalDirectory, requireLocalFile } from '../local-file.ts'
import { TARGETS } from '../run-options.ts'
import { addTransferOptions, reportTransfers, reportTreePlan, transferOptions, type TransferFlags } from '../transfer-report.ts'

/** `remex put`. */
export function definePut(command: Command, start: Start): void {
  command
    .description('Sends a file or a tree to hosts. Each file is there whole and verified by SHA-256, or what was there before is untouched.')
    .argument('<targets>', TARGETS)
    .argument('<local>', 'the file here, or with --recursive the directory')
    .argument('<remote>', 'path on the host; the directory that holds it must be there')
  addTransferOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((targets: string, local: string, remote: string, flags: TransferFlags) => start(command, (door) => put(door, { targets, local, remote, flags })))
}

interface Call {
  readonly targets: string
  readonly local: string
  readonly remote: string
  readonly flags: TransferFlags
}

async function put(door: Door, { targets, local, remote, flags }: Call): Promise<number> {
  const options = transferOptions(flags)
  await (flags.recursive ? requireLocalDirectory(local) : requireLocalFile(local))
  return withRemex(door, async (remex) => {
    const group = remex.hosts(targets)
    if (flags.dryRun && flags.recursive) return reportTreePlan(door, group, (live) => group.put(local, remote, { ...options, ...live }))
    if (flags.dryRun) {
      const { showDryRun } = await import('../dry-run.ts')
      return showDryRun(door, { config: remex.config, group, requestOf: () => ({ operation: 'upload', local, remote, options: { ...options, dryRun: false } }) })
    }
    return reportTransfers(door, group, (live) => group.put(local, remote, { ...options, ...live }))
  })
}

const EXAMPLES = `
Examples:
  remex put vm01 app.conf /etc/app.conf --mode 0640
  remex put @lab release.tar.gz /srv/release.tar.gz --parallel 8
  remex put @web site /srv/site --recursive --delete --exclude '*.map'
  remex put vm01 image.iso /srv/image.iso --resume --limit-rate 20M
  remex put vm01 -- -odd-name.txt /srv/odd-name.txt
`
