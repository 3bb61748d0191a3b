import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Skipped } from '../testkit/daemon.ts'
import type { Entry } from './bench.ts'
import type { FleetEntry, Stage, Wishes } from './fleet/entry.ts'
import { cpuRows, fanRows, memoryRows } from './fleet/fan.ts'
import { makeFleet, type Fleet } from './fleet/fleet.ts'
import { ownRows } from './fleet/own-rows.ts'
import { plotsOf } from './fleet/plots.ts'
import { Runs } from './fleet/runs.ts'
import { simulatedRows } from './fleet/simulated.ts'
import type { RowResult } from './harness.ts'
import { onlyOf, refuseNoDate, refuseQuickWrite } from './lib/arguments.ts'
import { interruption } from './lib/interruption.ts'
import { measuredRow } from './lib/measured-row.ts'
import { thisMachine, type Machine } from './lib/machine.ts'
import { measuredOf, outcomeText, statusOf, takeTurns, type Outcome } from './lib/outcomes.ts'
import { writeSection } from './lib/page.ts'
import { markdownTable } from './lib/tables.ts'
import { makeWorkspace } from './lib/workspace.ts'
import { connectRow } from './rows/connect.ts'
import { warmRow } from './rows/warm.ts'

/** The section of the page that `--write` puts the results into, and where plots go. */
const SECTION = 'bench-fleet'
const PLOTS = 'docs/plots'
const USAGE = 'remex bench fleet [--only id,id] [--rounds N] [--quick] [--json] [--write YYYY-MM-DD]'

/** All rows, in the order in which they are measured. The last two are those of `./remex bench`, for their plots. */
export const fleetRows: readonly FleetEntry[] = [...fanRows, ...memoryRows, ...cpuRows, ...ownRows, ...simulatedRows, forPlots(connectRow), forPlots(warmRow)]

/** What is to be done. */
interface Plan extends Wishes {
  readonly entries: readonly FleetEntry[]
  readonly json: boolean
  /** The date to write beside the figures. */
  readonly writeDate: string | undefined
}

/**
 * `./remex bench fleet`: measures Remex beside its peers on many hosts, one row after the other, and prints them on stdout.
 * Resolves with the exit status: 0 when every goal was reached, 1 when one was missed or a row failed; what is skipped does not
 * count. Throws for wrong arguments.
 */
export async function benchFleet(args: readonly string[], rows: readonly FleetEntry[] = fleetRows): Promise<number> {
  const plan = planOf(args, rows)
  const machine = thisMachine()
  const outcomes = await measureAll(plan, machine)
  if (plan.writeDate) writeSection(SECTION, { date: plan.writeDate, machine }, await blocksOf(plan, measuredOf(outcomes)))
  return statusOf(outcomes)
}

async function measureAll(plan: Plan, machine: Machine): Promise<readonly Outcome[]> {
  const interrupted = interruption()
  await using space = await makeWorkspace()
  const folder = await space.disk.directory(0o700)
  await using opened = fleetOnDemand(join(folder, 'fleet'))
  const stage: Stage = { rounds: plan.rounds, quick: plan.quick, folder, fleet: opened.fleet, runs: new Runs() }
  const turns = plan.entries.map((entry) => () => measuredRow(entry.id, entry.open(stage), interrupted))
  // Awaited here: the fleet is closed when this returns.
  return await takeTurns(turns, { json: plan.json, machine, text: outcomeText })
}

/** The fleet is made when the first row asks for it, and gone at the end. */
function fleetOnDemand(folder: string): AsyncDisposable & Pick<Stage, 'fleet'> {
  let made: Promise<Fleet | Skipped> | undefined
  return {
    fleet: () => (made ??= mkdir(folder, { mode: 0o700 }).then(() => makeFleet(folder))),
    async [Symbol.asyncDispose]() {
      const fleet = await made?.catch(() => undefined)
      if (fleet !== undefined && !('skipped' in fleet)) await fleet[Symbol.asyncDispose]()
    },
  }
}

/** A row of `./remex bench` as one of these. */
function forPlots({ id, open }: Entry): FleetEntry {
  return {
    id,
    isForPlots: true,
    async open({ rounds, quick }) {
      const row = await open()
      return { ...row, ...(rounds === undefined ? {} : { rounds }), ...(quick ? { rounds: 1, warmUps: 0 } : {}) }
    },
  }
}

function planOf(args: readonly string[], rows: readonly FleetEntry[]): Plan {
  const options = { only: { type: 'string' }, rounds: { type: 'string' }, json: { type: 'boolean' }, write: { type: 'string' }, quick: { type: 'boolean' } } as const
  const { values } = parseArgs({ args: [...args], options })
  const only = onlyOf(values.only, rows.map(({ id }) => id), USAGE)
  if (values.rounds !== undefined && !/^[1-9]\d{0,4}$/.test(values.rounds)) throw new Error(`--rounds ${values.rounds} is not a number of rounds\n${USAGE}`)
  refuseNoDate(values.write, USAGE)
  refuseQuickWrite(values.write, values.quick ?? false, USAGE)
  // What is measured only for the plots is so only where there will be some, or where it is asked for.
  const isWanted = ({ id, isForPlots = false }: FleetEntry): boolean => only?.includes(id) ?? (!isForPlots || values.write !== undefined)
  return { entries: rows.filter(isWanted), rounds: values.rounds === undefined ? undefined : Number(values.rounds), quick: values.quick ?? false, json: values.json ?? false, writeDate: values.write }
}

/** The table, and the plots, which are written into files of their own. */
async function blocksOf({ entries }: Plan, results: readonly RowResult[]): Promise<readonly string[]> {
  const isTabled = ({ id }: RowResult): boolean => !entries.some((entry) => entry.id === id && entry.isForPlots)
  await mkdir(PLOTS, { recursive: true })
  const plots = plotsOf(results)
  for (const { name, svg } of plots) await writeFile(join(PLOTS, `${name}.svg`), svg)
  const images = plots.map(({ name, title }) => `![${title}](plots/${name}.svg)`)
  return [markdownTable(results.filter(isTabled)), ...images]
}
