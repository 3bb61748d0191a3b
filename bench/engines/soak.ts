import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Connection } from '../../src/transport/contract.ts'
import type { Skipped } from '../../testkit/daemon.ts'
import { makePlace } from '../rows/place.ts'
import { absent } from './entry.ts'
import { masterPid } from './master.ts'
import { sizeOf, type ProcessSize } from './process-size.ts'
import { connect, runOn } from './scene.ts'

/** How long to go on. */
export interface SoakPlan {
  readonly runs: number
  /** Whether what is held in the end is judged. */
  readonly isJudged: boolean
  /** Rejects when we are to end. */
  readonly interrupted: Promise<never>
}

/** What was seen after a tenth part of the runs. */
export interface Tenth {
  /** Made so far. */
  readonly runs: number
  /** Of this tenth alone. */
  readonly runsPerSecond: number
  readonly ours: ProcessSize
  readonly master: ProcessSize
}

/** What came of many runs over one connection. */
export interface SoakResult {
  readonly id: string
  readonly runs: number
  readonly tenths: readonly Tenth[]
  /** What grew more than it may between the second tenth and the last, in words. */
  readonly grown: readonly string[]
  /** Undefined where it is not judged. */
  readonly reached: boolean | undefined
}

const AT_ONCE = 10
const PARTS = 10
/** What was closed just now, by another process, is gone then. */
const SETTLE_MS = 500
const MOST_GROWTH = 0.05
const MOST_GROWTH_BYTES = 2_000_000

/** Runs `true` so many times over one master of the `openssh` engine, ten at a time, and looks at what both processes hold. */
export async function soak({ runs, isJudged, interrupted }: SoakPlan): Promise<SoakResult | Skipped> {
  const missing = process.platform === 'linux' ? absent('sshd', 'ssh') : { skipped: 'what a process holds is seen on Linux only' }
  if (missing) return missing
  await using place = await makePlace()
  const connection = await connect('openssh', place.server)
  try {
    const tenths = await Promise.race([runAll(connection, masterPid(place.server), runs), interrupted])
    const grown = grownIn(tenths)
    return { id: 'soak', runs, tenths, grown, reached: isJudged ? grown.length === 0 : undefined }
  } finally {
    connection.close()
    await connection.closed
  }
}

async function runAll(connection: Connection, master: number, runs: number): Promise<readonly Tenth[]> {
  const tenths: Tenth[] = []
  for (let part = 1, made = 0; part <= PARTS; part++) {
    const until = Math.round((runs * part) / PARTS)
    const runsPerSecond = await rateOf(connection, until - made)
    made = until
    await delay(SETTLE_MS)
    collectGarbage()
    tenths.push({ runs: made, runsPerSecond, ours: sizeOf(process.pid), master: sizeOf(master) })
  }
  return tenths
}

async function rateOf(connection: Connection, runs: number): Promise<number> {
  let left = runs
  const startMs = performance.now()
  const worker = async (): Promise<void> => {
    while (left-- > 0) await runOn(connection, 'true')
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  return (runs * 1000) / (performance.now() - startMs)
}

/** What is held is asked for, not what waits to be thrown away. Node has the function only where this flag is set. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  if (typeof collect === 'function') Reflect.apply(collect, undefined, [])
}

/** What grew more than it may between the second tenth, when all is warm, and the last; empty where nothing did. */
export function grownIn(tenths: readonly Tenth[]): readonly string[] {
  const [second, last] = [tenths[1], tenths.at(-1)]
  if (second === undefined || last === undefined) throw new Error('there is nothing to compare')
  return [...growth('our process', second.ours, last.ours), ...growth('the master', second.master, last.master)]
}

function growth(whose: string, before: ProcessSize, after: ProcessSize): readonly string[] {
  const mostBytes = before.residentBytes * (1 + MOST_GROWTH) + MOST_GROWTH_BYTES
  const descriptors = after.descriptors - before.descriptors
  return [
    ...(after.residentBytes > mostBytes ? [`memory of ${whose} by ${((after.residentBytes - before.residentBytes) / 1e6).toFixed(1)} MB`] : []),
    ...(descriptors > 0 ? [`descriptors of ${whose} by ${descriptors}`] : []),
  ]
}

const HEADINGS = ['runs', 'runs/s', 'our memory', 'our descriptors', 'memory of the master', 'its descriptors'] as const

/** The result as lines of text for a terminal. */
export function soakText({ runs, tenths, grown, reached }: SoakResult): string {
  const title = `${runs.toLocaleString('en')} runs of \`true\` over one master of the openssh engine, ${AT_ONCE} at a time`
  const judged = reached === undefined ? '' : `  [growth from the second tenth to the last at most 5 % + 2 MB, and of no descriptor: ${reached ? 'reached' : `MISSED, ${grown.join(', ')}`}]`
  const rows = [HEADINGS, ...tenths.map(cells)]
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const lines = rows.map((row) => `  ${row.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('   ')}`)
  return [`${title}${judged}`, ...lines, ''].join('\n')
}

function cells({ runs, runsPerSecond, ours, master }: Tenth): readonly string[] {
  const size = ({ residentBytes, descriptors }: ProcessSize): readonly string[] => [`${(residentBytes / 1e6).toFixed(1)} MB`, String(descriptors)]
  return [runs.toLocaleString('en'), runsPerSecond.toFixed(0), ...size(ours), ...size(master)]
}
