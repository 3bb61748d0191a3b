import type { Command } from 'commander'
import type { AuditRecord } from '../../audit/record.ts'
import type { AuditFilter } from '../../audit/list.ts'
import { remexError } from '../../core/errors.ts'
import { notice, printJson, withRemex, type Door, type Start } from '../door.ts'
import { subcommand } from '../subcommand.ts'
import { tableLines } from '../table.ts'
import { moment, shown, wholeNumber } from '../values.ts'
import { printAnchor, printPublicKey } from './audit-anchor.ts'
import { verifyLog, type VerifyFlags } from './audit-verify.ts'

interface ListFlags {
  readonly host?: string
  readonly operation?: string
  readonly status?: 'success' | 'error'
  readonly since?: Date
  readonly until?: Date
  readonly limit?: number
}

/** `remex audit`. */
export function defineAudit(command: Command, start: Start): void {
  command.description('Reads the audit log: what was done, by whom, where, and how it ended.').addHelpText('after', EXAMPLES)
  const list = subcommand(command, 'list', 'Prints records, oldest first; with --json the records themselves. --user filters here by who asked.')
    .option('--host <id>', 'of this host')
    .option('--operation <name>', 'run, script, upload, download, host_trust, …')
    .option('--status <status>', 'success or error', statusOf)
    .option('--since <when>', 'from this moment on: 2026-01-31, 2026-01-31T12:00:00Z, or so long ago: 30m, 2h, 7d', moment('--since'))
    .option('--until <when>', 'before this moment', moment('--until'))
    .option('--limit <n>', 'the newest so many', wholeNumber('--limit', 1))
    .addHelpText('after', '\nExamples:\n  remex audit list --host vm01 --since 2h\n  remex audit list --status error --json\n')
  list.action((flags: ListFlags) => start(list, (door) => listRecords(door, flags)))
  const verify = subcommand(command, 'verify', 'Says whether the log is whole: exit status 0, or 1 naming the first record that is wrong.')
    .option('--public-key <file>', 'the key that must have signed it. Default: signing.pub beside the log')
    .option('--anchor <file>', 'ends that were handed out by `audit anchor`, a line each; - for standard input')
    .addHelpText('after', '\nExamples:\n  remex audit verify\n  remex audit verify --public-key remex-audit.pub --anchor anchors.jsonl\n')
  verify.action((flags: VerifyFlags) => start(verify, (door) => verifyLog(door, flags)))

  const anchor = subcommand(command, 'anchor', 'Prints the end of the log, one line of JSON, for a place that whoever can write the log cannot reach.')
    .addHelpText('after', '\nExample:\n  remex audit anchor >> /mnt/elsewhere/anchors.jsonl\n')
  anchor.action(() => start(anchor, printAnchor))

  const publicKey = subcommand(command, 'public-key', 'Prints the public half of the key that signs the log.')
    .addHelpText('after', '\nExample:\n  remex audit public-key > remex-audit.pub\n')
  publicKey.action(() => start(publicKey, printPublicKey))
}

async function listRecords(door: Door, flags: ListFlags): Promise<number> {
  // The name of the global option, but here it is what is looked for.
  const { user } = door.globals
  return withRemex(door, async ({ config }) => {
    const { listAudit } = await import('../../audit/list.ts')
    const filter: AuditFilter = { ...flags, ...(user !== undefined && { user }) }
    const records = listAudit(config.settings.auditPath, filter)
    if (door.globals.json) for await (const record of records) await printJson(door, record)
    else await printRecords(door, records)
    return 0
  })
}

/** Rows that are laid out together; the whole log need not fit into memory. */
const PAGE = 500

async function printRecords(door: Door, records: AsyncIterable<AuditRecord>): Promise<void> {
  let page: string[][] = []
  let pages = 0
  const print = async (): Promise<void> => {
    const lines = tableLines(['SEQ', 'TIME', 'USER', 'HOST', 'EVENT', 'OPERATION', 'RESULT', 'WHAT'], page)
    for (const line of pages === 0 ? lines : lines.slice(1)) await door.stdout.line(line)
    page = []
    pages++
  }
  for await (const record of records) {
    if (page.push(rowOf(record)) >= PAGE) await print()
  }
  if (page.length > 0) await print()
  else if (pages === 0) notice(door, 'no record of the audit log fits')
}

function rowOf(record: AuditRecord): string[] {
  const { seq, time, user_id: user, vm_id: host, event, operation } = record
  return [String(seq), time, user ?? '-', host ?? '-', event, operation ?? '-', outcomeOf(record), whatOf(record)]
}

function outcomeOf({ status, ended, exit_code: exitCode, error_code: errorCode }: AuditRecord): string {
  if (status === undefined) return '-'
  if (errorCode) return errorCode
  if (ended === 'exited') return `exit ${exitCode ?? '?'}`
  return ended ?? status
}

function whatOf({ command, local, remote, operation, reason, host_key: hostKey }: AuditRecord): string {
  if (command !== undefined) return command
  if (local !== undefined || remote !== undefined) return operation === 'download' ? `${remote ?? ''} -> ${local ?? ''}` : `${local ?? ''} -> ${remote ?? ''}`
  return reason ?? (operation?.startsWith('host_') ? (hostKey ?? '') : '')
}

function statusOf(text: string): string {
  if (text === 'success' || text === 'error') return text
  throw remexError('USAGE', `--status: ${shown(text)} is neither success nor error`)
}

const EXAMPLES = `
Examples:
  remex audit list --host vm01 --since 2h
  remex audit verify
`
