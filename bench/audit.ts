import { parseArgs } from 'node:util'
import { benchKills } from './audit-kill.ts'
import { benchTamper } from './audit-tamper.ts'
import { appendRow } from './audit/append.ts'
import type { AuditRow } from './audit/entry.ts'
import { fanRow } from './audit/fan.ts'
import { makeLongLog, type LongLog, type LongLogShape } from './audit/long-log.ts'
import { listRow, verifyRow } from './audit/reading.ts'
import { numberOf, onlyOf, refuseNoDate, refuseQuickWrite } from './lib/arguments.ts'
import { interruption } from './lib/interruption.ts'
import { measuredRow } from './lib/measured-row.ts'
import { thisMachine, type Machine } from './lib/machine.ts'
import { measuredOf, outcomeText, statusOf, takeTurns, type Outcome } from './lib/outcomes.ts'
import { requireSection, writeSection } from './lib/page.ts'
import { markdownTable } from './lib/tables.ts'
import { makeWorkspace } from './lib/workspace.ts'

/** The section of the page that `--write` puts the results into. */
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

/**
 * `./remex bench audit`: measures what the audit log costs and how fast it is read, one row after the other, and prints them on
 * stdout; or proves what is said of logs that are tampered with, and of writers that are killed. Resolves with the exit status:
 * 0 when every goal was reached and nothing was wrong, 1 when not, or when a row failed; what is skipped does not count. Throws
 * for wrong arguments.
 */
export async function benchAudit(args: readonly string[], rows: readonly AuditRow[] = auditRows): Promise<number> {
  const plan = planOf(args, rows)
  if (plan.proof) return plan.proof()
  if (plan.writeDate) requireSection(SECTION)
  const machine = thisMachine()
  const outcomes = await measureAll(plan, machine)
  if (plan.writeDate) writeSection(SECTION, { date: plan.writeDate, machine }, [markdownTable(measuredOf(outcomes))])
  return statusOf(outcomes)
}

async function measureAll(plan: Plan, machine: Machine): Promise<readonly Outcome[]> {
  const interrupted = interruption()
  await using space = await makeWorkspace()
  const { quick, rounds, json } = plan
  let made: Promise<LongLog> | undefined
  const longLog = (): Promise<LongLog> => (made ??= space.disk.directory(0o700).then((folder) => makeLongLog(folder, quick ? QUICK : LONG)))
  const turns = plan.entries.map((entry) => () => measuredRow(entry.id, entry.open({ quick, rounds, space, longLog }), interrupted))
  // Awaited here: the workspace is removed when this returns.
  return await takeTurns(turns, { json, machine, text: outcomeText })
}

function planOf(args: readonly string[], rows: readonly AuditRow[]): Plan {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const options = { only: text, rounds: text, write: text, json: flag, quick: flag, tamper: flag, kills: text, seed: text }
  const { values } = parseArgs({ args: [...args], options })
  const { write: writeDate, quick = false, json = false } = values
  const only = onlyOf(values.only, rows.map(({ id }) => id), USAGE)
  refuseNoDate(writeDate, USAGE)
  refuseQuickWrite(writeDate, quick, USAGE)
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
