import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { KEEP_LIMITS, openAudit } from '../src/audit/log.ts'
import { systemClock } from '../src/core/clock.ts'
import { Acknowledged } from './audit/acknowledged.ts'
import { lookAt, type Look } from './audit/kill-check.ts'
import { startWriter, type Writer } from './audit/writer.ts'
import { interruption } from './lib/interruption.ts'
import { ownProgram, type OwnProgram } from './lib/own-program.ts'
import { printedProof } from './lib/proof.ts'
import { seededRandom, type Random } from './lib/random.ts'
import { makeWorkspace } from './lib/workspace.ts'

/** What is to be proven, and how often. */
export interface KillOptions {
  readonly kills: number
  /** Of the moments. Which process runs when is not in it. */
  readonly seed: number
  /** Rejects when the proof is to end early. */
  readonly interrupted?: Promise<never>
}

/** What came of it. */
export interface KillProof {
  /** Moments at which one writer was killed, and at which all were. */
  readonly kills: { one: number; all: number }
  /** Records that were in the logs. */
  records: number
  files: number
  /** Records that say that a writer was interrupted, and those of them that moved a torn line away. */
  repaired: number
  torn: number
  /** What was said to writers to be on disk, and looked for after each kill. */
  readonly acknowledged: { begun: number; finished: number; anchors: number }
  /** What was wrong, in words; empty when the promise was kept. */
  readonly wrong: string[]
}

const AT_ONCE = 4
/** To one log; the last is of all writers. */
const KILLS_OF_A_ROUND = 10
const IN_FLIGHT = [1, 3, 20, 100] as const
const ROTATE_BYTES = 60_000
const ANCHOR_EVERY = 40
/** A process is at work after about half of it. */
const START_MS = 300
const MOST_LINES = 200
const MOST_MORE_MS = 3

/** `./remex bench audit --kills N`: proves it and prints the figures. Resolves with the exit status: 1 when anything was wrong. */
export async function benchKills(options: KillOptions): Promise<number> {
  const prove = (): Promise<KillProof> => proveKills({ ...options, interrupted: interruption() }, (done, { wrong }) => {
    if (done % 100 === 0) process.stdout.write(`${done} kills, ${wrong.length} wrong\n`)
  })
  const proof = await printedProof(options.seed, prove, report)
  return proof.wrong.length === 0 ? 0 : 1
}

function report({ kills, records, files, repaired, torn, acknowledged: { begun, finished, anchors }, wrong }: KillProof): string {
  return [
    `${kills.one + kills.all} kills: ${kills.one} of one writer among ${AT_ONCE}, ${kills.all} of all at once; ${records} records in ${files} files`,
    `acknowledged and found after each kill: ${begun} begin and ${finished} finish records, ${anchors} anchors`,
    `repaired: ${repaired}, of them ${torn} with a torn line`,
    `wrong: ${wrong.length}`,
    ...wrong.slice(0, 20),
  ].join('\n')
}

/** Kills writers at random moments, and looks at the log after each. */
export async function proveKills({ kills, seed, interrupted }: KillOptions, onKill: (done: number, proof: KillProof) => void = () => undefined): Promise<KillProof> {
  const proof: KillProof = { kills: { one: 0, all: 0 }, records: 0, files: 0, repaired: 0, torn: 0, acknowledged: { begun: 0, finished: 0, anchors: 0 }, wrong: [] }
  await using space = await makeWorkspace()
  await using program = await ownProgram('bench/audit/writer-program.ts')
  const random = seededRandom(seed)
  for (let number = 0; proof.kills.one + proof.kills.all < kills; number++) {
    const directory = join(await space.disk.directory(0o700), 'audit')
    const times = Math.min(KILLS_OF_A_ROUND, kills - proof.kills.one - proof.kills.all)
    await using round = new Round({ directory, program, random, removesOld: number % 2 === 1, proof })
    const work = round.run(times, () => onKill(proof.kills.one + proof.kills.all, proof))
    await (interrupted ? Promise.race([work, interrupted]) : work)
  }
  return proof
}

interface RoundParts {
  readonly directory: string
  readonly program: OwnProgram
  readonly random: Random
  /** Whether retention removes what is old: all that an anchor covers. */
  readonly removesOld: boolean
  readonly proof: KillProof
}

/** One log, its writers, and what they were told. */
class Round implements AsyncDisposable {
  readonly #parts: RoundParts
  readonly #said = new Acknowledged()
  readonly #orphans: Look['orphans'][number][] = []
  /** By their numbers, for retention may take the records. */
  readonly #repaired = new Set<number>()
  readonly #torn = new Set<number>()
  #writers: Writer[] = []

  constructor(parts: RoundParts) {
    this.#parts = parts
    this.#writers = Array.from({ length: AT_ONCE }, () => this.#start())
  }

  async run(times: number, onKill: () => void): Promise<void> {
    const { kills } = this.#parts.proof
    for (let left = times - 1; left > 0; left--) {
      await this.#killOne()
      kills.one++
      await this.#look()
      onKill()
    }
    await this.#moment(this.#some())
    await this.#killAll()
    kills.all++
    await this.#look()
    await this.#end()
    onKill()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#killAll().catch(() => undefined)
  }

  #start(): Writer {
    const { program, directory, random, removesOld } = this.#parts
    const limits = { ...KEEP_LIMITS, rotateBytes: ROTATE_BYTES, ...(removesOld && { retentionMs: 0 }) }
    const inFlight = IN_FLIGHT[random.below(IN_FLIGHT.length)] ?? 1
    return startWriter(program, [directory, String(inFlight), JSON.stringify(limits), String(ANCHOR_EVERY)], this.#said)
  }

  #some(): Writer {
    const writer = this.#writers[this.#parts.random.below(this.#writers.length)]
    if (!writer) throw new Error('there is no writer')
    return writer
  }

  /** Half of them early, when a process begins to write; half when it is at work. */
  async #moment(writer: Writer): Promise<void> {
    const { random } = this.#parts
    if (random.below(2) === 0) return delay(random.below(START_MS))
    await writer.lines(1 + random.below(MOST_LINES))
    const endMs = performance.now() + random.below(MOST_MORE_MS * 1000) / 1000
    // A timer would come at whole milliseconds.
    while (performance.now() < endMs);
  }

  /** The others go on, and another takes its place. */
  async #killOne(): Promise<void> {
    const writer = this.#some()
    await this.#moment(writer)
    await writer.kill()
    this.#writers = [...this.#writers.filter((other) => other !== writer), this.#start()]
  }

  async #killAll(): Promise<void> {
    const writers = this.#writers
    this.#writers = []
    await Promise.all(writers.map((writer) => writer.kill()))
  }

  async #look(): Promise<Look> {
    const { directory, proof } = this.#parts
    const look = await lookAt(directory, this.#said.snapshot())
    proof.wrong.push(...look.wrong)
    this.#orphans.push(...look.orphans)
    for (const seq of look.verdict?.repaired ?? []) this.#repaired.add(seq)
    for (const seq of look.torn) this.#torn.add(seq)
    return look
  }

  /** Whoever comes next mends what is to be mended; then all is known. */
  async #end(): Promise<void> {
    const { directory, proof } = this.#parts
    const log = await openAudit({ directory, clock: systemClock })
    await log.note('denied', {})
    await log.close()
    const { verdict } = await this.#look()
    const { begun, finished, anchors } = this.#said
    const lost = this.#orphans.filter(({ opId, firstSeq }) => (begun.get(opId) ?? Infinity) >= firstSeq)
    proof.wrong.push(...lost.map(({ opId }) => `the finish record of ${opId} is there without its begin record`))
    if (verdict && verdict.tornBytes > 0) proof.wrong.push(`${verdict.tornBytes} torn bytes were left behind`)
    proof.records += verdict?.head.seq ?? 0
    proof.files += verdict?.files ?? 0
    proof.repaired += this.#repaired.size
    proof.torn += this.#torn.size
    proof.acknowledged.begun += begun.size
    proof.acknowledged.finished += finished.size
    proof.acknowledged.anchors += anchors.length
  }
}
