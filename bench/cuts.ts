import { randomBytes } from 'node:crypto'
import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FinalName, sha256 } from './lib/final-name.ts'
import { printedProof } from './lib/proof.ts'
import { seededRandom, type Random } from './lib/random.ts'
import { makeWorkspace } from './lib/workspace.ts'
import { CUT_KINDS, momentOf, MOST_BYTES, planOf, type CutKind, type CutPlan, type TrafficModel } from './transfer/cut-plan.ts'
import { attempt, learnTraffic, openScene, type AttemptEnd, type CutScene, type Moving } from './transfer/cut-scene.ts'
import type { Direction } from './transfer/place.ts'

/** What is to be proven, and how often. */
export interface CutOptions {
  readonly transfers: number
  /** Of sizes, contents and moments. Which process runs when is not in it. */
  readonly seed: number
  /** Rejects when the proof is to end early. */
  readonly interrupted?: Promise<never>
}

/** What came of it. */
export interface CutProof {
  readonly transfers: Record<Direction, number>
  /** Interruptions that made an attempt fail. */
  readonly felt: Record<CutKind, number>
  /** Transfers that were through before their moment came; each was made again. */
  unfelt: number
  /** Transfers that went on where an attempt had stood, and what they did not move again. */
  resumed: number
  savedBytes: number
  /** How often somebody looked at a final name. */
  looks: number
  /** Attempts that failed, by code. */
  readonly errors: Map<string, number>
  /** Final names that held what they must not, or transfers that could not be ended; in words. Empty when the promise was kept. */
  readonly wrong: string[]
  /** Names left beside the target after a success. */
  readonly leftBehind: string[]
}

const AT_ONCE = 4
/** Of one transfer, until one of its interruptions is felt. */
const MOST_TRIES = 25
const MOST_ATTEMPTS = 12
/** Later attempts are interrupted too, up to so many. */
const MOST_CUTS = 3

/** `./remex bench transfer --cuts N`: proves it and prints the figures. Resolves with the exit status: 1 when anything was wrong. */
export async function benchCuts(options: CutOptions): Promise<number> {
  const prove = (): Promise<CutProof> => proveCuts(options, (done, { wrong, leftBehind }) => {
    if (done % 100 === 0) process.stdout.write(`${done} transfers, ${wrong.length} wrong, ${leftBehind.length} left behind\n`)
  })
  const proof = await printedProof(options.seed, prove, report)
  return proof.wrong.length + proof.leftBehind.length === 0 ? 0 : 1
}

function report({ transfers, felt, unfelt, resumed, savedBytes, looks, errors, wrong, leftBehind }: CutProof): string {
  const codes = [...errors].toSorted(([, a], [, b]) => b - a).map(([code, count]) => `${count} ${code}`)
  return [
    `${transfers.up} transfers up and ${transfers.down} down, each interrupted until it was felt: ${CUT_KINDS.map((kind) => `${felt[kind]} × ${kind}`).join(', ')} (${unfelt} more came too late)`,
    `attempts failed with ${codes.join(', ')}`,
    `resumed from more than 0 bytes: ${resumed}, which saved ${(savedBytes / 1e6).toFixed(1)} MB`,
    `final names, looked at ${looks} times: ${wrong.length} wrong; left behind: ${leftBehind.length}`,
    ...[...wrong, ...leftBehind].slice(0, 20),
  ].join('\n')
}

interface Worker {
  readonly scene: CutScene
  readonly traffic: TrafficModel
  /** Contents are cut out of it. */
  readonly bytes: Buffer
  readonly proof: CutProof
}

/** Proves what is said of interrupted transfers against a real sshd behind a network that breaks. Throws where there is no sshd. */
export async function proveCuts({ transfers, seed, interrupted }: CutOptions, onDone: (done: number, proof: CutProof) => void = () => undefined): Promise<CutProof> {
  const proof = emptyProof()
  const bytes = randomBytes(2 * MOST_BYTES)
  await using space = await makeWorkspace()
  let next = 0
  let done = 0
  const work = async (): Promise<void> => {
    await using scene = await openScene(space.memory)
    const traffic = await learnTraffic(scene, async (direction, sizeBytes) => (await prepare({ scene, bytes }, { direction, sizeBytes, oldSizeBytes: null }, seededRandom(seed))).moving)
    const worker = { scene, traffic, bytes, proof }
    const all = async (): Promise<void> => {
      while (next < transfers) {
        await cutUntilFelt(worker, next++, seed)
        onDone(++done, proof)
      }
    }
    await (interrupted ? Promise.race([all(), interrupted]) : all())
  }
  // A rejection that the library leaves to nobody ends a caller's whole process.
  const onUnhandled = (reason: unknown): void => void proof.wrong.push(`a rejection that nobody handles: ${reason instanceof Error ? reason.stack : String(reason)}`)
  process.on('unhandledRejection', onUnhandled)
  const ended = await Promise.allSettled(Array.from({ length: Math.min(AT_ONCE, transfers) }, work))
  process.off('unhandledRejection', onUnhandled)
  for (const one of ended) if (one.status === 'rejected') throw one.reason
  return proof
}

function emptyProof(): CutProof {
  const felt = { 'connection cut': 0, 'client killed': 0, 'server killed': 0 }
  return { transfers: { up: 0, down: 0 }, felt, unfelt: 0, resumed: 0, savedBytes: 0, looks: 0, errors: new Map(), wrong: [], leftBehind: [] }
}

/** Makes the transfer of this number, with new draws each time, until it was interrupted. */
async function cutUntilFelt(worker: Worker, index: number, seed: number): Promise<void> {
  const { proof } = worker
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const random = seededRandom(seed + index * MOST_TRIES + tries)
    const plan = planOf(index, random)
    const felt = await cutTransfer(worker, { plan, random, label: `transfer ${index}, try ${tries} of seed ${seed}` })
    if (felt === 0) proof.unfelt++
    else {
      proof.transfers[plan.direction]++
      proof.felt[plan.kind] += felt
      return
    }
  }
  proof.wrong.push(`transfer ${index} of seed ${seed} was never interrupted in ${MOST_TRIES} tries: it proves nothing`)
}

interface Task {
  readonly plan: CutPlan
  readonly random: Random
  /** For messages. */
  readonly label: string
}

/** Makes one transfer with its interruptions, and checks what is there; resolves with how many were felt. */
async function cutTransfer(worker: Worker, { plan, random, label }: Task): Promise<number> {
  const { scene, proof } = worker
  const what = `${label} (${plan.direction}, ${plan.kind}, ${plan.sizeBytes} bytes over ${plan.oldSizeBytes ?? 'nothing'})`
  const { moving, final, wanted } = await prepare(worker, plan, random)
  if (plan.isFresh) await scene.reopen()
  const story: string[] = []
  const watch = final.watch()
  const ends = await attemptAll(worker, { plan, random, moving, story, onEnd: () => final.look() }).finally(() => watch.stop())
  const wrong = [...final.wrong]
  const last = ends.at(-1)
  if (last?.error !== undefined) wrong.push(`could not be ended: ${last.error} ${last.message}`)
  else if (final.look() !== wanted) wrong.push('succeeded, and the final name does not hold the new content')
  for (const { error, message } of ends) if (error === 'HUNG' || error === 'CHECKSUM_MISMATCH') wrong.push(`${error}: ${message}`)
  const left = last?.error === undefined ? (await readdir(join(moving.target, '..'))).filter((name) => name !== 'target') : []
  proof.wrong.push(...wrong.map((words) => `${what}: ${words} [${story.join('; ')}]`))
  proof.leftBehind.push(...left.map((name) => `${what}: ${name} [${story.join('; ')}]`))
  proof.looks += final.looks
  count(proof, ends)
  await rm(join(moving.target, '..'), { recursive: true })
  await rm(moving.source)
  return ends.filter(({ error }) => error !== undefined).length
}

function count(proof: CutProof, ends: readonly AttemptEnd[]): void {
  for (const { error, resumedFromBytes } of ends) {
    if (error !== undefined) proof.errors.set(error, (proof.errors.get(error) ?? 0) + 1)
    if (resumedFromBytes > 0) proof.resumed++
    proof.savedBytes += resumedFromBytes
  }
}

interface Attempting extends Pick<Task, 'plan' | 'random'> {
  readonly moving: Moving
  /** What happened, for messages. */
  readonly story: string[]
  readonly onEnd: () => void
}

/** Attempt after attempt until one succeeds, the first of them interrupted. */
async function attemptAll({ scene, traffic }: Worker, { plan, random, moving, story, onEnd }: Attempting): Promise<readonly AttemptEnd[]> {
  const ends: AttemptEnd[] = []
  while (ends.length < MOST_ATTEMPTS) {
    const isCut = ends.length === 0 || (ends.length < MOST_CUTS && random.below(3) === 0)
    const cut = isCut ? { ...momentOf(traffic, plan, random), kind: plan.kind, random } : undefined
    const by = plan.kind === 'client killed' && (isCut || random.below(2) === 0) ? 'process' : 'library'
    const resume = ends.length > 0 || plan.resumesAtOnce
    const end = await attempt(scene, moving, { by, resume, cut })
    onEnd()
    ends.push(end)
    story.push(`${by}${resume ? ', resume' : ''}${cut ? `, ${cut.kind} after ${cut.afterBytes} ${cut.way}` : ''}: ${end.error ?? `done, ${end.resumedFromBytes} kept`}`)
    if (end.error === undefined) break
  }
  return ends
}

interface Prepared {
  readonly moving: Moving
  readonly final: FinalName
  /** SHA-256 of the new content. */
  readonly wanted: string
}

/** Writes the source, and what is under the final name before; each transfer has directories of its own. */
async function prepare({ scene, bytes }: Pick<Worker, 'scene' | 'bytes'>, { direction, sizeBytes, oldSizeBytes }: Pick<CutPlan, 'direction' | 'sizeBytes' | 'oldSizeBytes'>, random: Random): Promise<Prepared> {
  const content = (size: number): Buffer => {
    const start = random.below(bytes.length - size + 1)
    return bytes.subarray(start, start + size)
  }
  const next = content(sizeBytes)
  const old = oldSizeBytes === null ? null : content(oldSizeBytes)
  // The login is another user than ours, where we are root.
  const [sources, targets] = [await scene.area.directory(), await scene.area.directory(direction === 'up' ? 0o777 : 0o755)]
  const moving = { direction, source: join(sources, 'source'), target: join(targets, 'target') }
  await writeFile(moving.source, next, { mode: 0o644 })
  if (old !== null) await writeFile(moving.target, old, { mode: 0o644 })
  const wanted = sha256(next)
  return { moving, final: new FinalName(moving.target, [old === null ? null : sha256(old), wanted]), wanted }
}
