import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { Skipped } from '../testkit/daemon.ts'
import { benchKills } from './audit-kill.ts'
import { benchTamper } from './audit-tamper.ts'
import { appendRow } from './audit/append.ts'
import type { AuditRow } from './audit/entry.ts'
import { fanRow } from './audit/fan.ts'
import { makeLongLog, type LongLog, type LongLogShape } from './audit/long-log.ts'
import { listRow, verifyRow } from './audit/reading.ts'
import type { RowResult } from './harness.ts'
import { numberOf, refuseNoDate } from './lib/arguments.ts'
import { interruption } from './lib/interruption.ts'
import { measuredRow, type Failed } from './lib/measured-row.ts'
import { describeMachine, thisMachine, type Machine } from './lib/machine.ts'
import { withSection } from './lib/section.ts'
import { markdownTable, textTable } from './lib/tables.ts'
import { makeWorkspace } from './lib/workspace.ts'

/** The page that `--write` puts the results into, from the top of the checkout, and the section's name in it. */
const PAGE = 'docs/benchmarks.md'
const SECTION = 'bench-audit'
const USAGE = 'remex bench audit [--only id,id] [--rounds N] [--quick] [--json] [--write YYYY-MM-DD] | --tamper [--seed N] | --kills N [--seed N]'

/** All rows, in the order in which they are measured. */
export const auditRows: readonly AuditRow[] = [fanRow, appendRow, verifyRow, listRow]

/** A million records of a month. */
const LONG: LongLogShape = { operations: 500_000, days: 30 }
const QUICK: LongLogShape = { operations: 600, days: 3 }
/** Of a log that is tampered with. */
const TAMPERED_RECORDS = 1000

/** What is to be done. */
interface Plan {
  readonly entries: readonly AuditRow[]
  readonly rounds: number | undefined
  /** A few hosts and records, once: its figures mean nothing. */
  readonly quick: boolean
  readonly json: boolean
  /** The date to write beside the figures. */
  readonly writeDate: string | undefined
  /** A proof in place of all rows. */
  readonly proof: (() => Promise<number>) | undefined
}

/** A result, or why there is none: it cannot be measured here, or it failed. */
type Result = { readonly id: string } & (RowResult | Skipped | Failed)

/**
 * `./remex bench audit`: measures what the audit log costs and how fast it is read, one row after the other, and prints them on
 * stdout; or proves what is said of logs that are tampered with, and of writers that are killed. Resolves with the exit status:
 * 0 when every goal was reached and nothing was wrong, 1 when not, or when a row failed; what is skipped does not count. Throws
 * for wrong arguments.
 */
export async function benchAudit(args: readonly string[], rows: readonly AuditRow[] = auditRows): Promise<number> {
  const plan = planOf(args, rows)
  if (plan.proof) return plan.proof()
  // Before anything is measured: without its place in the page the figures would be lost.
  if (plan.writeDate) withSection(readFileSync(PAGE, 'utf8'), '', SECTION)
  const machine = thisMachine()
  if (!plan.json) process.stdout.write(`${describeMachine(machine)}\n\n`)
  const results = await measureAll(plan, machine)
  if (plan.writeDate) writePage(results, machine, plan.writeDate)
  return results.some((result) => 'failed' in result || ('reached' in result && result.reached === false)) ? 1 : 0
}

async function measureAll(plan: Plan, machine: Machine): Promise<readonly Result[]> {
  const interrupted = interruption()
  await using space = await makeWorkspace()
  const { quick, rounds } = plan
  let made: Promise<LongLog> | undefined
  const longLog = (): Promise<LongLog> => (made ??= space.disk.directory(0o700).then((folder) => makeLongLog(folder, quick ? QUICK : LONG)))
  const results: Result[] = []
  for (const entry of plan.entries) {
    const result = await measuredRow(entry.id, entry.open({ quick, rounds, space, longLog }), interrupted)
    results.push(result)
    process.stdout.write(plan.json ? `${JSON.stringify({ ...result, machine })}\n` : `${shown(result)}\n`)
  }
  return results
}

function shown(result: Result): string {
  if ('skipped' in result) return `${result.id}: skipped, ${result.skipped}\n`
  return 'failed' in result ? `${result.id}: FAILED, ${result.failed}\n` : textTable([result])
}

function planOf(args: readonly string[], rows: readonly AuditRow[]): Plan {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const options = { only: text, rounds: text, write: text, json: flag, quick: flag, tamper: flag, kills: text, seed: text }
  const { values } = parseArgs({ args: [...args], options })
  const { write: writeDate, quick = false, json = false } = values
  const only = values.only?.split(',')
  const unknown = only?.find((id) => !rows.some((row) => row.id === id))
  if (unknown !== undefined) throw new Error(`there is no row ${unknown}; there is ${rows.map(({ id }) => id).join(', ')}\n${USAGE}`)
  refuseNoDate(writeDate, USAGE)
  if (writeDate !== undefined && quick) throw new Error(`--quick is no measurement to --write down\n${USAGE}`)
  const entries = rows.filter(({ id }) => only?.includes(id) ?? true)
  return { entries, rounds: numberOf('--rounds', values.rounds, { form: /^[1-9]\d{0,4}$/, usage: USAGE }), quick, json, writeDate, proof: proofOf(values) }
}

function proofOf({ tamper, kills, seed: given }: { readonly tamper?: boolean; readonly kills?: string; readonly seed?: string }): Plan['proof'] {
  const seed = numberOf('--seed', given, { form: /^\d{1,9}$/, usage: USAGE }) ?? Date.now() % 1_000_000
  const times = numberOf('--kills', kills, { form: /^[1-9]\d{0,5}$/, usage: USAGE })
  if (times !== undefined) return () => benchKills({ kills: times, seed })
  if (tamper) return () => benchTamper({ records: TAMPERED_RECORDS, seed })
  if (given !== undefined) throw new Error(`--seed is for --tamper and --kills\n${USAGE}`)
  return undefined
}

function writePage(results: readonly Result[], machine: Machine, date: string): void {
  const measured = results.filter((result): result is RowResult => 'contenders' in result)
  const text = `Measured on ${date}: ${describeMachine(machine)}.\n\n${markdownTable(measured)}`
  writeFileSync(PAGE, withSection(readFileSync(PAGE, 'utf8'), text, SECTION))
}
