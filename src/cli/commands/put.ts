import type { Command } from 'commander'
import { withRemex, type Door, type Start } from '../door.ts'
import { requireLocalFile } from '../local-file.ts'
import { TARGETS } from '../run-options.ts'
import { addTransferOptions, reportTransfers, type TransferFlags } from '../transfer-report.ts'

/** `remex put`. */
export function definePut(command: Command, start: Start): void {
  command
    .description('Sends a file to hosts. It is there whole and verified by SHA-256, or what was there before is untouched.')
    .argument('<targets>', TARGETS)
    .argument('<local>', 'the file here')
    .argument('<remote>', 'path on the host; its directory must be there')
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
  await requireLocalFile(local)
  return withRemex(door, async (remex) => {
    const group = remex.hosts(targets)
    if (flags.dryRun) {
      const { showDryRun } = await import('../dry-run.ts')
      return showDryRun(door, { config: remex.config, group, requestOf: () => ({ operation: 'upload', local, remote, options: flags }) })
    }
    return reportTransfers(door, group, (live) => group.put(local, remote, { ...flags, ...live }))
  })
}

const EXAMPLES = `
Examples:
  remex put vm01 app.conf /etc/app.conf --mode 0640
  remex put @lab release.tar.gz /srv/release.tar.gz --parallel 8
  remex put vm01 -- -odd-name.txt /srv/odd-name.txt
`
