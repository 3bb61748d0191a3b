import { parseArgs } from 'node:util'
import { benchCuts } from './cuts.ts'
import { measure } from './harness.ts'
import { numberOf, onlyOf, refuseNoDate } from './lib/arguments.ts'
import { interruption } from './lib/interruption.ts'
import { thisMachine, type Machine } from './lib/machine.ts'
import { measuredOf, outcomeText, statusOf, takeTurns, type Outcome } from './lib/outcomes.ts'
import { writeSection } from './lib/page.ts'
import { markdownTable } from './lib/tables.ts'
import { makeWorkspace, type Workspace } from './lib/workspace.ts'
import type { TransferEntry, Wishes } from './transfer/entry.ts'
import { fanRow } from './transfer/fan.ts'
import { fileRows } from './transfer/files.ts'
import { memoryRows } from './transfer/memory.ts'
import { sameRow, treeRows } from './transfer/trees.ts'

/** The section of the page that `--write` puts the results into. */
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
  const outcomes = await measureAll(plan, { machine, interrupted })
  if (plan.writeDate) writeSection(SECTION, { date: plan.writeDate, machine }, [markdownTable(measuredOf(outcomes))])
  return statusOf(outcomes)
}

interface Circumstances {
  readonly machine: Machine
  readonly interrupted: Promise<never>
}

async function measureAll(plan: Plan, { machine, interrupted }: Circumstances): Promise<readonly Outcome[]> {
  await using space = await makeWorkspace()
  const turns = plan.entries.map((entry) => () => measureOne(entry, { plan, space, interrupted }))
  // Awaited here: the workspace is removed when this returns.
  return await takeTurns(turns, { json: plan.json, machine, text: outcomeText })
}

async function measureOne({ id, open }: TransferEntry, { plan, space, interrupted }: { plan: Plan; space: Workspace; interrupted: Promise<never> }): Promise<Outcome> {
  const opened = await open(space, plan)
  if ('skipped' in opened) return { id, ...opened }
  await using row = opened
  return await Promise.race([measure(row), interrupted])
}

function planOf(args: readonly string[], rows: readonly TransferEntry[]): Plan {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const options = { only: text, rounds: text, json: flag, write: text, quick: flag, cuts: text, seed: text }
  const { values } = parseArgs({ args: [...args], options })
  const only = onlyOf(values.only, rows.map(({ id }) => id), USAGE)
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
