import { parseArgs } from 'node:util'
import type { EngineEntry } from './engines/entry.ts'
import { fanEntry } from './engines/fan.ts'
import { lagEntry } from './engines/lag.ts'
import { soak, soakText, type SoakResult } from './engines/soak.ts'
import { streamEntries } from './engines/streams.ts'
import { warmEntry } from './engines/warm.ts'
import { numberOf, onlyOf, refuseNoDate, refuseQuickWrite } from './lib/arguments.ts'
import { interruption } from './lib/interruption.ts'
import { measuredRow, orFailed } from './lib/measured-row.ts'
import { thisMachine, type Machine } from './lib/machine.ts'
import { measuredOf, outcomeText, statusOf, takeTurns, type Outcome } from './lib/outcomes.ts'
import { requireSection, writeSection } from './lib/page.ts'
import { markdownTable } from './lib/tables.ts'
import { makeWorkspace } from './lib/workspace.ts'

/** The section of the page that `--write` puts the results into. */
const SECTION = 'bench-engines'
const USAGE = 'remex bench engines [--only id,id] [--rounds N] [--quick] [--json] [--write YYYY-MM-DD] | --only soak [--runs N]'

/** All rows, in the order in which they are measured. */
export const engineRows: readonly EngineEntry[] = [warmEntry, ...streamEntries, lagEntry, fanEntry]

/** No row: it takes minutes, and is measured only where it is named. */
const SOAK = 'soak'
const SOAK_RUNS = 100_000
const QUICK_SOAK_RUNS = 100

/** What is to be done. */
interface Plan {
  readonly entries: readonly EngineEntry[]
  readonly rounds: number | undefined
  /** A few hosts and bytes, once: its figures mean nothing. */
  readonly quick: boolean
  readonly json: boolean
  /** The date to write beside the figures. */
  readonly writeDate: string | undefined
  /** Undefined: no soak. */
  readonly soakRuns: number | undefined
}

/** What came of a row, or of the soak. */
type Result = Outcome | ({ readonly id: string } & SoakResult)

/**
 * `./remex bench engines`: measures the `openssh` engine beside the `ssh2` engine and the programs of OpenSSH, one row after the
 * other, and prints them on stdout. Resolves with the exit status: 0 when every goal was reached, 1 when one was missed or a row
 * failed; what is skipped does not count. Throws for wrong arguments.
 */
export async function benchEngines(args: readonly string[], rows: readonly EngineEntry[] = engineRows): Promise<number> {
  const plan = planOf(args, rows)
  if (plan.writeDate) requireSection(SECTION)
  const machine = thisMachine()
  const results = await measureAll(plan, machine)
  if (plan.writeDate) writeSection(SECTION, { date: plan.writeDate, machine }, blocksOf(results))
  return statusOf(results)
}

async function measureAll(plan: Plan, machine: Machine): Promise<readonly Result[]> {
  const interrupted = interruption()
  await using space = await makeWorkspace()
  const { quick, rounds, soakRuns, json } = plan
  const turns: (() => Promise<Result>)[] = plan.entries.map((entry) => () => measuredRow(entry.id, entry.open({ quick, rounds, space }), interrupted))
  if (soakRuns !== undefined) turns.push(() => soakOnce(soakRuns, quick, interrupted))
  // Awaited here: the workspace is removed when this returns.
  return await takeTurns(turns, { json, machine, text: (result) => ('tenths' in result ? soakText(result) : outcomeText(result)) })
}

async function soakOnce(runs: number, quick: boolean, interrupted: Promise<never>): Promise<Result> {
  return { ...(await orFailed(soak({ runs, isJudged: !quick, interrupted }))), id: SOAK }
}

function planOf(args: readonly string[], rows: readonly EngineEntry[]): Plan {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const { values } = parseArgs({ args: [...args], options: { only: text, rounds: text, runs: text, write: text, json: flag, quick: flag } })
  const { write: writeDate, quick = false, json = false } = values
  const only = onlyOf(values.only, [...rows.map(({ id }) => id), SOAK], USAGE)
  refuseNoDate(writeDate, USAGE)
  refuseQuickWrite(writeDate, quick, USAGE)
  const runs = numberOf('--runs', values.runs, { form: /^[1-9]\d{1,7}$/, usage: USAGE })
  const soaks = only?.includes(SOAK) ?? false
  if (runs !== undefined && !soaks) throw new Error(`--runs is for --only ${SOAK}\n${USAGE}`)
  const entries = rows.filter(({ id }) => only?.includes(id) ?? true)
  const soakRuns = soaks ? (runs ?? (quick ? QUICK_SOAK_RUNS : SOAK_RUNS)) : undefined
  return { entries, rounds: numberOf('--rounds', values.rounds, { form: /^[1-9]\d{0,4}$/, usage: USAGE }), quick, json, writeDate, soakRuns }
}

function blocksOf(results: readonly Result[]): readonly string[] {
  const measured = measuredOf(results)
  const soaked = results.filter((result): result is Extract<Result, SoakResult> => 'tenths' in result)
  return [...(measured.length === 0 ? [] : [markdownTable(measured)]), ...soaked.map((result) => `\`\`\`\n${soakText(result)}\`\`\``)]
}
