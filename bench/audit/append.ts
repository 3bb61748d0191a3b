import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { verifyAudit } from '../../src/audit/verify/verify.ts'
import { clearedAway } from '../engines/entry.ts'
import { judgedUnlessQuick, roundsOf } from '../fleet/entry.ts'
import type { Contender } from '../harness.ts'
import { ownProgram, type OwnProgram } from '../lib/own-program.ts'
import type { AuditRow, AuditStage } from './entry.ts'

const LEAST_PER_S = 10_000
const PROCESSES = 4
const MANY = 100
const DURATION_MS = 4000
const QUICK_MS = 200

/** Several processes write into one log: every begin is on disk before it is acknowledged. */
export const appendRow: AuditRow = {
  id: 'append',
  open: (stage) =>
    clearedAway(async (afterwards) => {
      const program = await ownProgram('bench/audit/append-program.ts')
      afterwards(() => program[Symbol.asyncDispose]())
      const crowd = (processes: number, inFlight: number): Contender => ({ name: nameOf(processes, inFlight), run: () => recordsPerSecond(stage, program, { processes, inFlight }) })
      return {
        id: 'append',
        title: 'Append to one log: begin records, each acknowledged when it is on disk (fdatasync), and as many finish records',
        unit: 'records/s',
        ...roundsOf(stage, { rounds: 5, warmUps: 1 }),
        ...judgedUnlessQuick(stage, { contender: nameOf(PROCESSES, MANY), of: 'value', atLeast: LEAST_PER_S }),
        contenders: [crowd(PROCESSES, MANY), crowd(PROCESSES, 1), crowd(1, MANY), crowd(1, 1)],
      }
    }),
}

const nameOf = (processes: number, inFlight: number): string => `${processes === 1 ? 'one process' : `${processes} processes`}, ${inFlight} in flight${processes === 1 ? '' : ' each'}`

interface Crowd {
  readonly processes: number
  readonly inFlight: number
}

/** Into a new log, which is verified afterwards: what was acknowledged is all there. */
async function recordsPerSecond({ space, quick }: AuditStage, program: OwnProgram, { processes, inFlight }: Crowd): Promise<number> {
  const directory = await space.disk.directory(0o700)
  const writers = Array.from({ length: processes }, () => startWriter(program, [directory, String(inFlight), String(quick ? QUICK_MS : DURATION_MS)]))
  try {
    await Promise.all(writers.map(({ line }) => line()))
    const startMs = performance.now()
    for (const { go } of writers) go()
    const operations = (await Promise.all(writers.map(({ line }) => line()))).map(Number)
    const seconds = (performance.now() - startMs) / 1000
    const records = 2 * operations.reduce((sum, own) => sum + own, 0)
    await expectRecords(directory, records)
    return records / seconds
  } finally {
    await Promise.all(writers.map(({ end }) => end()))
  }
}

/** One in a thousand signs the chain, and was asked for by nobody. */
async function expectRecords(directory: string, records: number): Promise<void> {
  const verdict = await verifyAudit(directory)
  if (!verdict.ok) throw new Error(verdict.message)
  const expected = records + Math.floor(verdict.count / 1000) + verdict.files - 1
  if (verdict.repaired.length > 0 || verdict.count !== expected) throw new Error(`${verdict.count} records are in the log, and not ${expected}; repaired: ${verdict.repaired.length}`)
}

interface Writer {
  /** Its next line. */
  readonly line: () => Promise<string>
  readonly go: () => void
  /** Ends it, if it still runs. */
  readonly end: () => Promise<void>
}

function startWriter({ argv: [node, path] }: OwnProgram, args: readonly string[]): Writer {
  const child = spawn(node, [path, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const closed = once(child, 'close')
  return {
    async line() {
      const next = await lines.next()
      if (next.done) throw new Error('a process that writes ended early')
      return next.value
    },
    go: () => void child.stdin.write('go\n'),
    async end() {
      child.kill('SIGKILL')
      await closed
    },
  }
}
