import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { Skipped } from '../testkit/daemon.ts'
import { benchCuts } from './cuts.ts'
import { measure, type RowResult } from './harness.ts'
import { numberOf, refuseNoDate } from './lib/arguments.ts'
import { interruption } from './lib/interruption.ts'
import { describeMachine, thisMachine, type Machine } from './lib/machine.ts'
import { withSection } from './lib/section.ts'
import { markdownTable, textTable } from './lib/tables.ts'
import { makeWorkspace, type Workspace } from './lib/workspace.ts'
import type { TransferEntry, Wishes } from './transfer/entry.ts'
import { fanRow } from './transfer/fan.ts'
import { fileRows } from './transfer/files.ts'
import { memoryRows } from './transfer/memory.ts'
import { sameRow, treeRows } from './transfer/trees.ts'

/** The page that `--write` puts the results into, from the top of the checkout, and the section's name in it. */
const PAGE = 'docs/benchmarks.md'
const SECTION = 'bench-transfer'
const USAGE = 'remex bench transfer [--only id,id] [--rounds N] [--quick] [--json] [--write YYYY-MM-DD] | --cuts N [--seed N]'

/** All rows, in the order in which they are measured. */
export const transferRows: readonly TransferEntry[] = [...fileRows, ...treeRows, sameRow, fanRow, ...memoryRows]

/** What is to be done. */
interface Plan extends Wishes {
  readonly entries: readonly TransferEntry[]
  readonly json: boolean
  /** The date to write beside the figures. */
  readonly writeDate: string | undefined
  /** Transfers to cut, in place of all rows. */
  readonly cuts: number | undefined
  readonly seed: number | undefined
}

/** A row's result, or why there is none. */
type Result = { readonly id: string } & (RowResult | Skipped)

/**
 * `./remex bench transfer`: measures the rows one after the other and prints them on stdout, or proves what is said of
 * transfers that are cut. Resolves with the exit status: 0 when every goal was reached and nothing was wrong, else 1; what is
 * skipped does not count. Throws for wrong arguments.
 */
export async function benchTransfer(args: readonly string[], rows: readonly TransferEntry[] = transferRows): Promise<number> {
  const plan = planOf(args, rows)
  const interrupted = interruption()
  if (plan.cuts !== undefined) return benchCuts({ transfers: plan.cuts, seed: plan.seed ?? Date.now() % 1_000_000, interrupted })
  const machine = thisMachine()
  if (!plan.json) process.stdout.write(`${describeMachine(machine)}\n\n`)
  const results = await measureAll(plan, { machine, interrupted })
  const measured = results.filter((result): result is RowResult => !('skipped' in result))
  if (plan.writeDate) writePage(measured, machine, plan.writeDate)
  return measured.some(({ reached }) => reached === false) ? 1 : 0
}

interface Circumstances {
  readonly machine: Machine
  readonly interrupted: Promise<never>
}

async function measureAll(plan: Plan, { machine, interrupted }: Circumstances): Promise<readonly Result[]> {
  await using space = await makeWorkspace()
  const results: Result[] = []
  for (const entry of plan.entries) {
    const result = await measureOne(entry, { plan, space, interrupted })
    results.push(result)
    process.stdout.write(plan.json ? `${JSON.stringify({ ...result, machine })}\n` : `${shown(result)}\n`)
  }
  return results
}

async function measureOne({ id, open }: TransferEntry, { plan, space, interrupted }: { plan: Plan; space: Workspace; interrupted: Promise<never> }): Promise<Result> {
  const opened = await open(space, plan)
  if ('skipped' in opened) return { id, ...opened }
  await using row = opened
  return await Promise.race([measure(row), interrupted])
}

function shown(result: Result): string {
  return 'skipped' in result ? `${result.id}: skipped, ${result.skipped}\n` : textTable([result])
}

function planOf(args: readonly string[], rows: readonly TransferEntry[]): Plan {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const options = { only: text, rounds: text, json: flag, write: text, quick: flag, cuts: text, seed: text }
  const { values } = parseArgs({ args: [...args], options })
  const only = values.only?.split(',')
  const unknown = only?.find((id) => !rows.some((row) => row.id === id))
  if (unknown !== undefined) throw new Error(`there is no row ${unknown}; there is ${rows.map(({ id }) => id).join(', ')}\n${USAGE}`)
  refuseNoDate(values.write, USAGE)
  return {
    entries: rows.filter(({ id }) => only?.includes(id) ?? true),
    rounds: numberOf('--rounds', values.rounds, { form: /^[1-9]\d{0,4}$/, usage: USAGE }),
    quick: values.quick ?? false,
    json: values.json ?? false,
    writeDate: values.write,
    cuts: numberOf('--cuts', values.cuts, { form: /^[1-9]\d{0,5}$/, usage: USAGE }),
    seed: numberOf('--seed', values.seed, { form: /^\d{1,9}$/, usage: USAGE }),
  }
}

function writePage(results: readonly RowResult[], machine: Machine, date: string): void {
  const text = `Measured on ${date}: ${describeMachine(machine)}.\n\n${markdownTable(results)}`
  writeFileSync(PAGE, withSection(readFileSync(PAGE, 'utf8'), text, SECTION))
}
