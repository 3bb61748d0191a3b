import type { Command } from 'commander'
import { addFilterOptions, type FilterFlags } from '../audit-filter.ts'
import type { Start } from '../door.ts'
import { subcommand } from '../subcommand.ts'
import { wholeNumber } from '../values.ts'
import { printAnchor, printPublicKey } from './audit-anchor.ts'
import { exportRecords, formatName, type ExportFlags } from './audit-export.ts'
import { listRecords } from './audit-list.ts'
import { showRecord } from './audit-show.ts'
import { verifyLog, type VerifyFlags } from './audit-verify.ts'

/** `remex audit`. */
export function defineAudit(command: Command, start: Start): void {
  command.description('Reads the audit log: what was done, by whom, where, and how it ended.').addHelpText('after', EXAMPLES)
  const list = subcommand(command, 'list', 'Prints records, oldest first; with --json the records themselves. --user filters here by who asked.')
  addFilterOptions(list).addHelpText('after', '\nExamples:\n  remex audit list --host vm01 --since 2h\n  remex audit list --status error --json\n')
  list.action((flags: FilterFlags) => start(list, (door) => listRecords(door, flags)))

  const show = subcommand(command, 'show', 'Prints everything of one record, and the other records of the same operation.')
    .argument('<seq>', 'the number of the record', wholeNumber('<seq>', 1))
    .addHelpText('after', '\nExample:\n  remex audit show 17\n')
  show.action((seq: number) => start(show, (door) => showRecord(door, seq)))

  const verify = subcommand(command, 'verify', 'Says whether the log is whole: exit status 0, or 1 naming the first record that is wrong.')
    .argument('[directory]', 'a log elsewhere, which needs no configuration. Default: audit_log_path')
    .option('--public-key <file>', 'the key that must have signed it. Default: signing.pub beside the log')
    .option('--anchor <file>', 'ends that were handed out by `audit anchor`, a line each; - for standard input')
    .addHelpText('after', '\nExamples:\n  remex audit verify\n  remex audit verify copy-of-the-log --public-key remex-audit.pub --anchor anchors.jsonl\n')
  verify.action((directory: string | undefined, flags: VerifyFlags) => start(verify, (door) => verifyLog(door, directory, flags)))

  const anchor = subcommand(command, 'anchor', 'Prints the end of the log, one line of JSON, for a place that whoever can write the log cannot reach.')
    .addHelpText('after', '\nExample:\n  remex audit anchor >> /mnt/elsewhere/anchors.jsonl\n')
  anchor.action(() => start(anchor, printAnchor))

  const publicKey = subcommand(command, 'public-key', 'Prints the public half of the key that signs the log.')
    .addHelpText('after', '\nExample:\n  remex audit public-key > remex-audit.pub\n')
  publicKey.action(() => start(publicKey, printPublicKey))

  const exported = subcommand(command, 'export', 'Prints records for other programs, oldest first. --user filters here by who asked.')
    .option('--format <format>', 'csv (the default), ocsf (JSON Lines) or syslog (RFC 5424)', formatName)
    .option('--follow', 'go on with what is written later, until interrupted')
  addFilterOptions(exported).addHelpText('after', '\nExamples:\n  remex audit export --since 7d > week.csv\n  remex audit export --format ocsf --since-seq 1041 --follow\n')
  exported.action((flags: ExportFlags) => start(exported, (door) => exportRecords(door, flags)))
}

const EXAMPLES = `
Examples:
  remex audit list --host vm01 --since 2h
  remex audit show 17
  remex audit export --format syslog --follow
  remex audit verify
`
