import { median } from './lib/median.ts'

/** One way of doing what a row measures. */
export interface Contender {
  /** As it stands in the table: `ssh`, `remex run`. */
  readonly name: string
  /** Does it once. The harness takes the time; a number that is returned is the sample in place of it. */
  readonly run: () => Promise<number | undefined>
}

/** What a row must reach. Exactly one of the two limits is given. */
export interface Goal {
  /** The name of the contender that is judged; of several, each must reach it. */
  readonly contender: string | readonly string[]
  /** `ratio`: to the yardstick; `value`: in the row's unit. */
  readonly of: 'ratio' | 'value'
  readonly atMost?: number
  readonly atLeast?: number
}

/** Contenders that are measured together, in one run on one machine. */
export interface Row {
  /** For `--only`: `connect`. */
  readonly id: string
  readonly title: string
  /** Of the samples. `ms` is what the harness measures; for the others the contenders return the number. */
  readonly unit: 'ms' | 'runs/s' | 'MB/s' | 'MB'
  /** The first is the yardstick: the others are given as ratios to it. */
  readonly contenders: readonly [Contender, ...Contender[]]
  readonly goal?: Goal
  /** Rounds that are run first and not counted. Default: 2. */
  readonly warmUps?: number
  /** Rounds that count. Default: 15. */
  readonly rounds?: number
}

/** What was measured of one contender. */
export interface Measured {
  readonly name: string
  /** In the order of the rounds, in the row's unit. */
  readonly samples: readonly number[]
  readonly median: number
  /**
   * To the yardstick: the median of the ratios of single rounds, because what slows a machine down for a while slows down both
   * sides of a round. 1 for the yardstick itself.
   */
  readonly ratio: number
}

/** What was measured of a row. */
export interface RowResult extends Pick<Row, 'id' | 'title' | 'unit' | 'goal'> {
  readonly contenders: readonly Measured[]
  /** Undefined where the row has no goal. */
  readonly reached: boolean | undefined
}

/** Measures a row: its contenders take turns, A B A B, so that a machine that changes its pace is fair to all. */
export async function measure(row: Row): Promise<RowResult> {
  const { contenders, warmUps = 2, rounds = 15 } = row
  const samples = new Map<Contender, number[]>(contenders.map((contender) => [contender, []]))
  for (let round = -warmUps; round < rounds; round++) {
    for (const contender of contenders) {
      const sample = await sampleOf(contender)
      if (round >= 0) samples.get(contender)?.push(sample)
    }
  }
  return judged(row, [...samples].map(([{ name }, own]) => measuredOf(name, own, samples.get(contenders[0]) ?? [])))
}

async function sampleOf({ run }: Contender): Promise<number> {
  const startMs = performance.now()
  const given = await run()
  return given ?? performance.now() - startMs
}

function measuredOf(name: string, samples: readonly number[], yardstick: readonly number[]): Measured {
  const ratios = samples.map((sample, round) => sample / (yardstick[round] ?? Number.NaN))
  return { name, samples, median: median(samples), ratio: median(ratios) }
}

function judged({ id, title, unit, goal }: Row, contenders: readonly Measured[]): RowResult {
  if (!goal) return { id, title, unit, goal, contenders, reached: undefined }
  const missing = judgedNames(goal).find((wanted) => !contenders.some(({ name }) => name === wanted))
  if (missing !== undefined) throw new Error(`the goal of ${id} is for ${missing}, which is not a contender`)
  const reached = contenders.every((measured) => !judgedNames(goal).includes(measured.name) || reaches(measured, goal))
  return { id, title, unit, goal, contenders, reached }
}

/** Who is judged by the goal. */
export function judgedNames({ contender }: Goal): readonly string[] {
  return typeof contender === 'string' ? [contender] : contender
}

/** Whether this contender, one of {@link judgedNames}, reaches the goal. */
export function reaches({ ratio, median: middle }: Measured, goal: Goal): boolean {
  const value = goal.of === 'ratio' ? ratio : middle
  return value <= (goal.atMost ?? Infinity) && value >= (goal.atLeast ?? -Infinity)
}
