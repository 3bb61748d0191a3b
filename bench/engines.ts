import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { Skipped } from '../testkit/daemon.ts'
import type { EngineEntry } from './engines/entry.ts'
import { fanEntry } from './engines/fan.ts'
import { lagEntry } from './engines/lag.ts'
import { soak, soakText, type SoakResult } from './engines/soak.ts'
import { streamEntries } from './engines/streams.ts'
import { warmEntry } from './engines/warm.ts'
import type { RowResult } from './harness.ts'
import { numberOf, refuseNoDate } from './lib/arguments.ts'
import { interruption } from './lib/interruption.ts'
import { measuredRow, orFailed, type Failed } from './lib/measured-row.ts'
import { describeMachine, thisMachine, type Machine } from './lib/machine.ts'
import { withSection } from './lib/section.ts'
import { markdownTable, textTable } from './lib/tables.ts'
import { makeWorkspace } from './lib/workspace.ts'

/** The page that `--write` puts the results into, from the top of the checkout, and the section's name in it. */
const PAGE = 'docs/benchmarks.md'
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

/** A result, or why there is none: it cannot be measured here, or it failed. */
type Result = { readonly id: string } & (RowResult | SoakResult | Skipped | Failed)

/**
 * `./remex bench engines`: measures the `openssh` engine beside the `ssh2` engine and the programs of OpenSSH, one row after the
 * other, and prints them on stdout. Resolves with the exit status: 0 when every goal was reached, 1 when one was missed or a row
 * failed; what is skipped does not count. Throws for wrong arguments.
 */
export async function benchEngines(args: readonly string[], rows: readonly EngineEntry[] = engineRows): Promise<number> {
  const plan = planOf(args, rows)
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
  const { quick, rounds, soakRuns } = plan
  const turns: (() => Promise<Result>)[] = plan.entries.map((entry) => () => measuredRow(entry.id, entry.open({ quick, rounds, space }), interrupted))
  if (soakRuns !== undefined) turns.push(() => soakOnce(soakRuns, quick, interrupted))
  const results: Result[] = []
  for (const turn of turns) {
    const result = await turn()
    results.push(result)
    process.stdout.write(plan.json ? `${JSON.stringify({ ...result, machine })}\n` : `${shown(result)}\n`)
  }
  return results
}

async function soakOnce(runs: number, quick: boolean, interrupted: Promise<never>): Promise<Result> {
  return { ...(await orFailed(soak({ runs, isJudged: !quick, interrupted }))), id: SOAK }
}

function shown(result: Result): string {
  if ('skipped' in result) return `${result.id}: skipped, ${result.skipped}\n`
  if ('failed' in result) return `${result.id}: FAILED, ${result.failed}\n`
  return 'tenths' in result ? soakText(result) : textTable([result])
}

function planOf(args: readonly string[], rows: readonly EngineEntry[]): Plan {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const { values } = parseArgs({ args: [...args], options: { only: text, rounds: text, runs: text, write: text, json: flag, quick: flag } })
  const { write: writeDate, quick = false, json = false } = values
  const ids = [...rows.map(({ id }) => id), SOAK]
  const only = values.only?.split(',')
  const unknown = only?.find((id) => !ids.includes(id))
  if (unknown !== undefined) throw new Error(`there is no row ${unknown}; there is ${ids.join(', ')}\n${USAGE}`)
  refuseNoDate(writeDate, USAGE)
  if (writeDate !== undefined && quick) throw new Error(`--quick is no measurement to --write down\n${USAGE}`)
  const runs = numberOf('--runs', values.runs, { form: /^[1-9]\d{1,7}$/, usage: USAGE })
  const soaks = only?.includes(SOAK) ?? false
  if (runs !== undefined && !soaks) throw new Error(`--runs is for --only ${SOAK}\n${USAGE}`)
  const entries = rows.filter(({ id }) => only?.includes(id) ?? true)
  const soakRuns = soaks ? (runs ?? (quick ? QUICK_SOAK_RUNS : SOAK_RUNS)) : undefined
  return { entries, rounds: numberOf('--rounds', values.rounds, { form: /^[1-9]\d{0,4}$/, usage: USAGE }), quick, json, writeDate, soakRuns }
}

function writePage(results: readonly Result[], machine: Machine, date: string): void {
  const measured = results.filter((result): result is RowResult => 'contenders' in result)
  const soaked = results.filter((result): result is SoakResult => 'tenths' in result)
  const blocks = [...(measured.length === 0 ? [] : [markdownTable(measured)]), ...soaked.map((result) => `\`\`\`\n${soakText(result)}\`\`\``)]
  const text = [`Measured on ${date}: ${describeMachine(machine)}.`, ...blocks].join('\n\n')
  writeFileSync(PAGE, withSection(readFileSync(PAGE, 'utf8'), text, SECTION))
}
