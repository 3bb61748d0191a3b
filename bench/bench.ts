import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { measure, type Row, type RowResult } from './harness.ts'
import { refuseNoDate } from './lib/arguments.ts'
import { describeMachine, thisMachine, type Machine } from './lib/machine.ts'
import { withSection } from './lib/section.ts'
import { markdownTable, textTable } from './lib/tables.ts'

/** A row that is made ready when its turn comes, and cleared away after it. */
export interface Entry {
  /** The row's own id, for `--only`. */
  readonly id: string
  /** Starts what the row needs: servers, connections. */
  readonly open: () => Promise<Row & AsyncDisposable>
}

/** The page that `--write` puts the results into, from the top of the checkout. */
const PAGE = 'docs/benchmarks.md'
const USAGE = 'remex bench [--only id,id] [--rounds N] [--json] [--write YYYY-MM-DD]'

interface Wishes {
  readonly only: readonly string[] | undefined
  readonly rounds: number | undefined
  readonly json: boolean
  /** The date to write beside the figures. */
  readonly writeDate: string | undefined
}

/**
 * `./remex bench`: measures the entries one after the other and prints them on stdout, as a table or as JSON Lines.
 * Resolves with the exit status: 0 when every goal was reached, 1 when one was missed. Throws for wrong arguments.
 */
export async function bench(entries: readonly Entry[], args: readonly string[]): Promise<number> {
  const wishes = wishesOf(args, entries)
  const machine = thisMachine()
  if (!wishes.json) process.stdout.write(`${describeMachine(machine)}\n\n`)
  const results: RowResult[] = []
  for (const entry of entries.filter(({ id }) => wishes.only?.includes(id) ?? true)) {
    const result = await measured(entry, wishes)
    results.push(result)
    process.stdout.write(wishes.json ? `${JSON.stringify({ ...result, machine })}\n` : `${textTable([result])}\n`)
  }
  if (wishes.writeDate) writePage(results, machine, wishes.writeDate)
  return results.some(({ reached }) => reached === false) ? 1 : 0
}

async function measured(entry: Entry, { rounds }: Wishes): Promise<RowResult> {
  await using row = await entry.open()
  return await measure({ ...row, ...(rounds === undefined ? {} : { rounds }) })
}

function wishesOf(args: readonly string[], entries: readonly Entry[]): Wishes {
  const options = { only: { type: 'string' }, rounds: { type: 'string' }, json: { type: 'boolean' }, write: { type: 'string' } } as const
  const { values } = parseArgs({ args: [...args], options })
  const only = values.only?.split(',')
  const unknown = only?.find((id) => !entries.some((entry) => entry.id === id))
  if (unknown !== undefined) throw new Error(`there is no row ${unknown}; there is ${entries.map(({ id }) => id).join(', ')}\n${USAGE}`)
  if (values.rounds !== undefined && !/^[1-9]\d{0,4}$/.test(values.rounds)) throw new Error(`--rounds ${values.rounds} is not a number of rounds\n${USAGE}`)
  refuseNoDate(values.write, USAGE)
  return { only, rounds: values.rounds === undefined ? undefined : Number(values.rounds), json: values.json ?? false, writeDate: values.write }
}

function writePage(results: readonly RowResult[], machine: Machine, date: string): void {
  const text = `Measured on ${date}: ${describeMachine(machine)}.\n\n${markdownTable(results)}`
  writeFileSync(PAGE, withSection(readFileSync(PAGE, 'utf8'), text))
}
