import { median } from './lib/median.ts'

/** One way of doing what a row measures. */
export interface Contender {
  /** As it stands in the table: `ssh`, `remex run`. */
  readonly name: string
  /** Does it once. The harness takes the time; a number that is returned is the sample in place of it. */
  readonly run: () => Promise<number | undefined>
  /** Whether the row goes on without it when it fails, and says why. Default: false, its error ends the measurement. */
  readonly mayFail?: boolean
}

/** Who is not in a row, and why. */
export interface LeftOut {
  readonly name: string
  readonly reason: string
}

/** What a row must reach. Exactly one of the two limits is given. */
export interface Goal {
  /** The name of the contender that is judged; of several, each must reach it. */
  readonly contender: string | readonly string[]
  /** `ratio`: to the yardstick, or to the contender `to`; `value`: in the row's unit. */
  readonly of: 'ratio' | 'value'
  /** Where that one is left out, so is the goal. */
  readonly to?: string
  readonly atMost?: number
  readonly atLeast?: number
}

/** Contenders that are measured together, in one run on one machine. */
export interface Row {
  /** For `--only`: `connect`. */
  readonly id: string
  readonly title: string
  /** Of the samples. `ms` is what the harness measures; for the others the contenders return the number. */
  readonly unit: 'ms' | 's' | 'runs/s' | 'records/s' | 'MB/s' | 'MB'
  /** The first is the yardstick: the others are given as ratios to it. */
  readonly contenders: readonly [Contender, ...Contender[]]
  readonly goal?: Goal | readonly Goal[]
  /** Who cannot take part here. */
  readonly leftOut?: readonly LeftOut[]
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
export interface RowResult extends Pick<Row, 'id' | 'title' | 'unit' | 'goal' | 'leftOut'> {
  readonly contenders: readonly Measured[]
  /** Undefined where the row has no goal. */
  readonly reached: boolean | undefined
}

/** Measures a row: its contenders take turns, A B A B, so that a machine that changes its pace is fair to all. */
export async function measure(row: Row): Promise<RowResult> {
  const { contenders, warmUps = 2, rounds = 15 } = row
  const samples = new Map<Contender, number[]>(contenders.map((contender) => [contender, []]))
  const leftOut = [...(row.leftOut ?? [])]
  for (let round = -warmUps; round < rounds; round++) {
    for (const [contender, own] of samples) {
      const sample = await sampleOf(contender).catch((error: unknown) => {
        if (!contender.mayFail) throw error
        leftOut.push({ name: contender.name, reason: error instanceof Error ? error.message : String(error) })
        samples.delete(contender)
      })
      if (round >= 0 && sample !== undefined) own.push(sample)
    }
  }
  const yardstick = samples.get(contenders[0]) ?? []
  return judged({ ...row, leftOut }, [...samples].map(([{ name }, own]) => ({ name, samples: own, median: median(own), ratio: ratioOf(own, yardstick) })))
}

async function sampleOf({ run }: Contender): Promise<number> {
  const startMs = performance.now()
  const given = await run()
  return given ?? performance.now() - startMs
}

function ratioOf(samples: readonly number[], yardstick: readonly number[]): number {
  return median(samples.map((sample, round) => sample / (yardstick[round] ?? Number.NaN)))
}

function judged({ id, title, unit, goal, leftOut = [] }: Row, contenders: readonly Measured[]): RowResult {
  const goals = goalsOf({ goal }).filter(({ to }) => !leftOut.some(({ name }) => name === to))
  const result = { id, title, unit, goal: goals.length === 0 ? undefined : goals, contenders, ...(leftOut.length === 0 ? {} : { leftOut }) }
  if (goals.length === 0) return { ...result, reached: undefined }
  const missing = goals.flatMap(namesIn).find((wanted) => !contenders.some(({ name }) => name === wanted))
  if (missing !== undefined) throw new Error(`the goal of ${id} is for ${missing}, which is not a contender`)
  return { ...result, reached: goals.every((one) => contenders.every((measured) => !judgedNames(one).includes(measured.name) || reaches(measured, one, contenders))) }
}

/** All goals of a row. */
export function goalsOf({ goal = [] }: Pick<Row, 'goal'> | { readonly goal: Row['goal'] }): readonly Goal[] {
  return [goal].flat()
}

/** Who is judged by the goal. */
export function judgedNames({ contender }: Goal): readonly string[] {
  return typeof contender === 'string' ? [contender] : contender
}

function namesIn(goal: Goal): readonly string[] {
  return [...judgedNames(goal), ...(goal.to === undefined ? [] : [goal.to])]
}

/** Whether this contender, one of {@link judgedNames}, reaches the goal; `contenders` are all of the row. */
export function reaches({ samples, ratio, median: middle }: Measured, goal: Goal, contenders: readonly Measured[]): boolean {
  const other = contenders.find(({ name }) => name === goal.to)
  const value = goal.of === 'value' ? middle : other === undefined ? ratio : ratioOf(samples, other.samples)
  return value <= (goal.atMost ?? Infinity) && value >= (goal.atLeast ?? -Infinity)
}
