import type { Skipped } from '../../testkit/daemon.ts'
import type { Row } from '../harness.ts'
import type { Fleet } from './fleet.ts'
import type { Runs } from './runs.ts'

/** What a row is told before it is opened. */
export interface Wishes {
  /** Rounds that count. Default: the row's own. Rows about memory do not heed it: they are measured once, it is the peak that counts. */
  readonly rounds: number | undefined
  /** One round of a few hosts, to see that all works; its figures mean nothing, and no goal is judged by them. */
  readonly quick: boolean
}

/** What all rows share. */
export interface Stage extends Wishes {
  /** For files of the rows; ours alone. */
  readonly folder: string
  /** Made when it is first asked for. */
  readonly fleet: () => Promise<Fleet | Skipped>
  readonly runs: Runs
}

/** A row that is made ready when its turn comes, or says why it cannot be measured here. */
export interface FleetEntry {
  /** The row's own id, for `--only`. */
  readonly id: string
  /** Whether it is there for the plots, and stands in another table already. Default: false. */
  readonly isForPlots?: boolean
  readonly open: (stage: Stage) => Promise<(Row & AsyncDisposable) | Skipped>
}

/** `row` with nothing to clear away. */
export function lasting(row: Row): Row & AsyncDisposable {
  return { ...row, [Symbol.asyncDispose]: async () => undefined }
}

/** How often a row is measured: as it is asked for, else once where it is to be quick, else so often. */
export function roundsOf({ rounds, quick }: Wishes, usual: { readonly rounds: number; readonly warmUps: number }): { rounds: number; warmUps: number } {
  return quick ? { rounds: rounds ?? 1, warmUps: 0 } : { rounds: rounds ?? usual.rounds, warmUps: usual.warmUps }
}

/** The goals, but those of a quick look: its figures mean nothing. */
export function judgedUnlessQuick({ quick }: Wishes, goals: NonNullable<Row['goal']>): Pick<Row, 'goal'> {
  return quick ? {} : { goal: goals }
}
