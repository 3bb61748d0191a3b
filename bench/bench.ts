import { parseArgs } from 'node:util'
import { measure, type Row, type RowResult } from './harness.ts'
import { onlyOf, refuseNoDate } from './lib/arguments.ts'
import { thisMachine } from './lib/machine.ts'
import { statusOf, takeTurns } from './lib/outcomes.ts'
import { writeSection } from './lib/page.ts'
import { markdownTable, textTable } from './lib/tables.ts'

/** A row that is made ready when its turn comes, and cleared away after it. */
export interface Entry {
  /** The row's own id, for `--only`. */
  readonly id: string
  /** Starts what the row needs: servers, connections. */
  readonly open: () => Promise<Row & AsyncDisposable>
}

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
  const turns = entries.filter(({ id }) => wishes.only?.includes(id) ?? true).map((entry) => () => measured(entry, wishes))
  const results = await takeTurns(turns, { json: wishes.json, machine, text: (result) => textTable([result]) })
  if (wishes.writeDate) writeSection(undefined, { date: wishes.writeDate, machine }, [markdownTable(results)])
  return statusOf(results)
}

async function measured(entry: Entry, { rounds }: Wishes): Promise<RowResult> {
  await using row = await entry.open()
  return await measure({ ...row, ...(rounds === undefined ? {} : { rounds }) })
}

function wishesOf(args: readonly string[], entries: readonly Entry[]): Wishes {
  const options = { only: { type: 'string' }, rounds: { type: 'string' }, json: { type: 'boolean' }, write: { type: 'string' } } as const
  const { values } = parseArgs({ args: [...args], options })
  const only = onlyOf(values.only, entries.map(({ id }) => id), USAGE)
  if (values.rounds !== undefined && !/^[1-9]\d{0,4}$/.test(values.rounds)) throw new Error(`--rounds ${values.rounds} is not a number of rounds\n${USAGE}`)
  refuseNoDate(values.write, USAGE)
  return { only, rounds: values.rounds === undefined ? undefined : Number(values.rounds), json: values.json ?? false, writeDate: values.write }
}
