import type { Command } from 'commander'
import { remexError } from '../../core/errors.ts'
import type { Command as RemoteCommand } from '../../fleet/requests.ts'
import type { Door, Start } from '../door.ts'
import { runOnHosts } from '../run-on-hosts.ts'
import { addRunOptions, readRunOptions, TARGETS, viewFlags, type RunFlags } from '../run-options.ts'

interface Flags extends RunFlags {
  readonly command?: string
}

/** `remex run`. */
export function defineRun(command: Command, start: Start): void {
  command
    .description('Runs a command on hosts. Words behind -- reach the command as they are: the shell of the host interprets nothing.')
    .usage('<targets> [options] -- <word>...\n       remex run <targets> [options] -c <shell text>')
    .argument('<targets>', TARGETS)
    .option('-c, --command <text>', 'shell text for /bin/sh of the host, in place of words')
  addRunOptions(command)
    .addHelpText('after', EXAMPLES)
    .action((targets: string, flags: Flags) => start(command, (door) => run(door, targets, flags)))
}

async function run(door: Door, targets: string, flags: Flags): Promise<number> {
  const what = commandOf(flags.command, door.words)
  const view = viewFlags(flags, door)
  const options = await readRunOptions(flags, door)
  return runOnHosts(door, {
    targets,
    flags,
    view,
    request: { operation: 'run', command: what, options: { ...options, onOutput: undefined } },
    rollout: options,
    start: (group) => group.start(what, { ...options, signal: door.stop.signal }),
    run: (group, live) => group.run(what, { ...options, ...live }),
  })
}

function commandOf(text: string | undefined, words: Door['words']): RemoteCommand {
  const hint = "Either: remex run vm01 -- df -h   or: remex run vm01 -c 'df -h | tail -1'"
  if (text !== undefined && words !== undefined) throw remexError('USAGE', 'both -c and words behind -- were given', { hint })
  if (text !== undefined) {
    if (text.trim() === '') throw remexError('USAGE', 'the command of -c is empty', { hint })
    return text
  }
  if (words === undefined || words.length === 0) throw remexError('USAGE', 'there is no command: give words behind --, or shell text with -c', { hint })
  return words
}

const EXAMPLES = `
Examples:
  remex run vm01 -- df -h /srv
  remex run vm[01-04] --timeout 5m -c 'apt-get update && apt-get -y upgrade' --sudo
  remex run @lab --json -- uname -r
  remex run all --gather -- uname -r
  remex run @lab --batch 25% --check 'systemctl is-active app' --sudo -- systemctl restart app
  remex run vm01 --input dump.sql -- psql app
  remex run vm01 --secret-env PGPASSWORD -- pg_dump app >app.sql
  remex run vm01 --detach --run-id nightly-backup --timeout 6h -- /opt/backup.sh
`
