import type { Command } from 'commander'
import type { Door, Start } from '../door.ts'
import { requireLocalFile } from '../local-file.ts'
import { runOnHosts } from '../run-on-hosts.ts'
import { addRunOptions, readRunOptions, TARGETS, viewFlags, type RunFlags } from '../run-options.ts'

interface Flags extends RunFlags {
  readonly interpreter?: string
  readonly remote?: boolean
  readonly keep?: boolean
}

/** `remex script`. */
export function defineScript(command: Command, start: Start): void {
  command
    .description('Runs a local script on hosts: sends it, runs it, removes it.')
    .usage('<targets> <path> [options] [-- <arg>...]')
    .argument('<targets>', TARGETS)
    .argument('<path>', 'the script here; with --remote, on the host')
    .option('--interpreter <cmd>', 'what runs it, such as "python3 -u" (default: its first line decides)')
    .option('--remote', 'the script is on the host already: send and remove nothing')
    .option('--keep', 'leave the script on the host')
  addRunOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((targets: string, path: string, flags: Flags) => start(command, (door) => script(door, { targets, path, flags })))
}

async function script(door: Door, { targets, path, flags }: { targets: string; path: string; flags: Flags }): Promise<number> {
  const { interpreter, remote, keep } = flags
  const view = viewFlags(flags, door)
  if (!remote) await requireLocalFile(path)
  const options = { ...(await readRunOptions(flags, door)), args: door.words ?? [], interpreter, remote, keep }
  return runOnHosts(door, {
    targets,
    flags,
    view,
    request: { operation: 'script', path, options: { ...options, onOutput: undefined } },
    rollout: options,
    start: (group) => group.startScript(path, { ...options, signal: door.stop.signal }),
    run: (group, live) => group.script(path, { ...options, ...live }),
  })
}

const EXAMPLES = `
Examples:
  remex script @lab ./collect.sh
  remex script vm01 report.py --interpreter python3 -- --since yesterday
  remex script vm01 /opt/app/restart.sh --remote --sudo
  remex script vm01 nightly.sh --detach --timeout 6h
`
