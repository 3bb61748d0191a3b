import { mkdir, readFile, writeFile } from 'node:fs/promises'
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
import { refuseNoDate } from './lib/arguments.ts'
import { interruption } from './lib/interruption.ts'
import { measuredRow, type Failed } from './lib/measured-row.ts'
import { describeMachine, thisMachine, type Machine } from './lib/machine.ts'
import { withSection } from './lib/section.ts'
import { markdownTable, textTable } from './lib/tables.ts'
import { makeWorkspace } from './lib/workspace.ts'
import { connectRow } from './rows/connect.ts'
import { warmRow } from './rows/warm.ts'

/** The page that `--write` puts the results into, from the top of the checkout, the section's name in it, and where plots go. */
const PAGE = 'docs/benchmarks.md'
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

/** A row's result, or why there is none: it cannot be measured here, or it failed. */
type Result = { readonly id: string } & (RowResult | Skipped | Failed)

/**
 * `./remex bench fleet`: measures Remex beside its peers on many hosts, one row after the other, and prints them on stdout.
 * Resolves with the exit status: 0 when every goal was reached, 1 when one was missed or a row failed; what is skipped does not
 * count. Throws for wrong arguments.
 */
export async function benchFleet(args: readonly string[], rows: readonly FleetEntry[] = fleetRows): Promise<number> {
  const plan = planOf(args, rows)
  const machine = thisMachine()
  if (!plan.json) process.stdout.write(`${describeMachine(machine)}\n\n`)
  const results = await measureAll(plan, machine)
  const measured = results.filter((result): result is RowResult => 'contenders' in result)
  if (plan.writeDate) await writePage(plan, measured, machine)
  return results.some((result) => 'failed' in result) || measured.some(({ reached }) => reached === false) ? 1 : 0
}

async function measureAll(plan: Plan, machine: Machine): Promise<readonly Result[]> {
  const interrupted = interruption()
  await using space = await makeWorkspace()
  const folder = await space.disk.directory(0o700)
  await using opened = fleetOnDemand(join(folder, 'fleet'))
  const stage: Stage = { rounds: plan.rounds, quick: plan.quick, folder, fleet: opened.fleet, runs: new Runs() }
  const results: Result[] = []
  for (const entry of plan.entries) {
    const result = await measuredRow(entry.id, entry.open(stage), interrupted)
    results.push(result)
    process.stdout.write(plan.json ? `${JSON.stringify({ ...result, machine })}\n` : `${shown(result)}\n`)
  }
  return results
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

function shown(result: Result): string {
  if ('skipped' in result) return `${result.id}: skipped, ${result.skipped}\n`
  return 'failed' in result ? `${result.id}: FAILED, ${result.failed}\n` : textTable([result])
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
  const only = values.only?.split(',')
  const unknown = only?.find((id) => !rows.some((row) => row.id === id))
  if (unknown !== undefined) throw new Error(`there is no row ${unknown}; there is ${rows.map(({ id }) => id).join(', ')}\n${USAGE}`)
  if (values.rounds !== undefined && !/^[1-9]\d{0,4}$/.test(values.rounds)) throw new Error(`--rounds ${values.rounds} is not a number of rounds\n${USAGE}`)
  refuseNoDate(values.write, USAGE)
  if (values.write !== undefined && values.quick) throw new Error(`--quick is no measurement to --write down\n${USAGE}`)
  // What is measured only for the plots is so only where there will be some, or where it is asked for.
  const isWanted = ({ id, isForPlots = false }: FleetEntry): boolean => only?.includes(id) ?? (!isForPlots || values.write !== undefined)
  return { entries: rows.filter(isWanted), rounds: values.rounds === undefined ? undefined : Number(values.rounds), quick: values.quick ?? false, json: values.json ?? false, writeDate: values.write }
}

async function writePage({ writeDate, entries }: Plan, results: readonly RowResult[], machine: Machine): Promise<void> {
  const isTabled = ({ id }: RowResult): boolean => !entries.some((entry) => entry.id === id && entry.isForPlots)
  await mkdir(PLOTS, { recursive: true })
  const plots = plotsOf(results)
  for (const { name, svg } of plots) await writeFile(join(PLOTS, `${name}.svg`), svg)
  const images = plots.map(({ name, title }) => `![${title}](plots/${name}.svg)`)
  const text = [`Measured on ${writeDate}: ${describeMachine(machine)}.`, markdownTable(results.filter(isTabled)), ...images].join('\n\n')
  await writeFile(PAGE, withSection(await readFile(PAGE, 'utf8'), text, SECTION))
}
