import type { Command } from 'commander'
import type { Start } from '../door.ts'
import { TARGETS } from '../run-options.ts'
import { subcommand } from '../subcommand.ts'
import { ageText, runIdText, sizeBytes } from '../values.ts'
import { attachRun, type AttachFlags } from './runs-attach.ts'
import { cancelRun } from './runs-cancel.ts'
import { listRuns } from './runs-list.ts'
import { pruneRuns, type PruneFlags } from './runs-prune.ts'
import { showRun } from './runs-show.ts'

/** Of which host the run is, where several have one of this id. */
export interface HostFlag {
  readonly host?: string
}

const RUN_ID = 'as --detach printed it, or as it was given with --run-id'

/** `remex runs`. */
export function defineRuns(command: Command, start: Start): void {
  command.description('Durable runs: those that were started from here, and those that the hosts hold.').addHelpText('after', EXAMPLES)
  const list = subcommand(command, 'list', 'Lists durable runs, as our own notes and the hosts tell of them.')
    .argument('[targets]', `${TARGETS} (default: all)`)
    .addHelpText('after', '\nExamples:\n  remex runs list\n  remex runs list @lab --json\n')
  list.action((targets: string | undefined) => start(list, (door) => listRuns(door, targets)))

  const show = ofRun(command, 'show', 'Shows one run: its state, and what that is known by.')
    .addHelpText('after', '\nExample:\n  remex runs show nightly-backup\n')
  show.action((runId: string, flags: HostFlag) => start(show, (door) => showRun(door, runId, flags)))

  const attach = ofRun(command, 'attach', 'Gives all output of a run, from its beginning, follows it to its end, and exits as it did. Ctrl-C leaves it running.')
    .option('--stdout-offset <bytes>', 'of standard output, only what follows these bytes', sizeBytes('--stdout-offset'))
    .option('--stderr-offset <bytes>', 'of standard error, only what follows these bytes', sizeBytes('--stderr-offset'))
    .addHelpText('after', '\nExamples:\n  remex runs attach nightly-backup\n  remex runs attach 20261120t095214-4c6a4688bd444015 --host vm01 --json\n')
  attach.action((runId: string, flags: AttachFlags) => start(attach, (door) => attachRun(door, runId, flags)))

  const cancel = ofRun(command, 'cancel', 'Ends a run and all its processes. One that has ended stays as it is.')
    .addHelpText('after', '\nExample:\n  remex runs cancel nightly-backup\n')
  cancel.action((runId: string, flags: HostFlag) => start(cancel, (door) => cancelRun(door, runId, flags)))

  definePrune(command, start)
}

function definePrune(command: Command, start: Start): void {
  const prune = subcommand(command, 'prune', 'Removes what hosts and our own notes hold of runs that have ended. One that runs is never removed.')
    .argument('[targets]', `${TARGETS} (default: all)`)
    .option('--older-than <duration>', 'ended at least so long ago: 30m, 2h, 7d (default: 7d)', ageText('--older-than'))
    .option('--run-id <id>', 'only this run, however long ago it ended', runIdText)
    .addHelpText('after', '\nExamples:\n  remex runs prune\n  remex runs prune @lab --older-than 2h\n  remex runs prune vm01 --run-id nightly-backup\n')
  prune.action((targets: string | undefined, flags: PruneFlags) => start(prune, (door) => pruneRuns(door, targets, flags)))
}

function ofRun(parent: Command, name: string, description: string): Command {
  return subcommand(parent, name, description)
    .argument('<run-id>', RUN_ID, runIdText)
    .option('--host <id>', 'of this host, where several have a run of this id')
}

const EXAMPLES = `
Examples:
  remex run vm01 --detach --run-id nightly-backup -- /opt/backup.sh
  remex runs list
  remex runs attach nightly-backup
  remex runs cancel nightly-backup
`
