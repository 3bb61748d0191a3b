import type { Command } from 'commander'
import type { ListFilter } from '../audit/read/list.ts'
import { remexError } from '../core/errors.ts'
import type { Door } from './door.ts'
import { moment, runIdText, shown, wholeNumber } from './values.ts'

/** The options that say which records are wanted; `--user` is a global one. */
export type FilterFlags = Omit<ListFilter, 'user' | 'opId' | 'unfinished'>

/** Gives a command the options by which records are chosen. */
export function addFilterOptions(command: Command): Command {
  return command
    .option('--host <id>', 'of this host', filled('--host'))
    .option('--operation <name>', 'run, script, upload, download, host_trust, …', filled('--operation'))
    .option('--event <name>', 'begin, finish, denied, repaired, rotated, …', filled('--event'))
    .option('--status <status>', 'success or error', statusOf)
    .option('--run-id <id>', 'of this run', runIdText)
    .option('--text <piece>', 'with this in the command, a path, the reason, the error code or the host', filled('--text'))
    .option('--since <when>', 'from this moment on: 2026-01-31, 2026-01-31T12:00:00Z, or so long ago: 30m, 2h, 7d', moment('--since'))
    .option('--until <when>', 'before this moment', moment('--until'))
    .option('--since-seq <n>', 'behind the record with this number', wholeNumber('--since-seq', 0))
    .option('--limit <n>', 'the newest so many', wholeNumber('--limit', 1))
}

/** What the options ask for. Throws `USAGE` for those that leave nothing. */
export function filterOf({ globals: { user } }: Door, flags: FilterFlags): ListFilter {
  const { host, operation, event, status, runId, text, since, until, sinceSeq, limit } = flags
  if (since && until && since.getTime() >= until.getTime()) throw remexError('USAGE', `--since ${since.toISOString()} is not before --until ${until.toISOString()}`)
  const given = { user, host, operation, event, status, runId, text, since, until, sinceSeq, limit }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

function filled(option: string): (text: string) => string {
  return (text) => {
    if (text !== '') return text
    throw remexError('USAGE', `${option} is empty`)
  }
}

function statusOf(text: string): string {
  if (text === 'success' || text === 'error') return text
  throw remexError('USAGE', `--status: ${shown(text)} is neither success nor error`)
}
