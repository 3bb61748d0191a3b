import { createHash, randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { RunResult } from '../src/core/outcome.ts'
import type { Host } from '../src/fleet/host.ts'
import { Remex } from '../src/remex.ts'
import { startNetwork, type TestNetwork } from '../testkit/network.ts'
import { startOpensshServer, type OpensshServer } from '../testkit/openssh-server.ts'
import { median } from './lib/median.ts'
import { printedProof } from './lib/proof.ts'
import { seededRandom, type Random } from './lib/random.ts'

/** What is to be proven, and how often. */
export interface ProofOptions {
  /** Runs whose connection is cut. */
  readonly runs: number
  /** Clients that start one id at the same moment. */
  readonly clients: number
  /** Pairs of a plain and a durable run for the overhead. */
  readonly pairs: number
  /** Of the moments at which connections are cut. */
  readonly seed: number
}

/** What came of it. */
export interface Proof {
  /** Runs by the moment at which their connection was cut. */
  readonly cuts: Readonly<Record<Moment, number>>
  /** Connections beyond the first of each worker: cuts that broke one. The others came when all was said. */
  readonly reconnections: number
  /** What was wrong, in words; empty when the promise was kept. */
  readonly wrong: readonly string[]
  /** Starts of the id that many clients started at once; 1 is right. */
  readonly startsOfOneId: number
  /** What durable costs at the median, and a plain run beside it, in ms; not a number without pairs. */
  readonly overheadMs: number
  readonly plainMs: number
}

type Moment = 'before the request' | 'during the start' | 'while output flows' | 'at the exit'

const MOMENTS: readonly Moment[] = ['before the request', 'during the start', 'while output flows', 'at the exit']
const AT_ONCE = 8
const PARTS = 5
const PART_BYTES = 5000
const MOST_OVERHEAD_MS = 25
const USAGE = 'remex bench durable [--runs 1000] [--seed N]'

interface Scene {
  readonly server: OpensshServer
  /** On the machine, which is client and host at once. */
  readonly folder: string
  readonly sha256: Readonly<Record<'stdout' | 'stderr', string>>
  readonly random: Random
  readonly wrong: string[]
}

/** `./remex bench durable`: proves it and prints the figures. Resolves with the exit status: 1 when anything was wrong. */
export async function benchDurable(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { runs: { type: 'string' }, seed: { type: 'string' } } })
  const options = { runs: Number(values.runs ?? 1000), clients: 50, pairs: 50, seed: Number(values.seed ?? Date.now() % 1_000_000) }
  if (!Number.isSafeInteger(options.runs) || options.runs < 1 || !Number.isSafeInteger(options.seed)) throw new Error(`not a number of runs, or no seed\n${USAGE}`)
  const prove = (): Promise<Proof> => proveDurable(options, (done) => process.stderr.write(done % 100 === 0 ? `${done} runs\n` : ''))
  const proof = await printedProof(options.seed, prove, (proven) => report(options, proven))
  return proof.wrong.length > 0 || proof.overheadMs > MOST_OVERHEAD_MS ? 1 : 0
}

/** Proves the promise of durable runs against a real sshd behind a network that breaks. Throws where there is no sshd. */
export async function proveDurable(options: ProofOptions, onDone: (done: number) => void = () => undefined): Promise<Proof> {
  const server = await startOpensshServer({ postQuantum: true, maxSessions: 200 })
  if ('skipped' in server) throw new Error(`the proof needs a server: ${server.skipped}`)
  const scene = await makeScene(server, options.seed)
  try {
    const { cuts, reconnections } = await cutRuns(scene, options.runs, onDone)
    const startsOfOneId = await startAtOnce(scene, options.clients)
    return { cuts, reconnections, startsOfOneId, ...(await overhead(scene, options.pairs)), wrong: scene.wrong }
  } finally {
    await server.close()
    await rm(scene.folder, { recursive: true })
  }
}

function report({ runs, clients, pairs }: ProofOptions, { cuts, reconnections, wrong, startsOfOneId, overheadMs, plainMs }: Proof): string {
  return [
    `${runs} runs, each with its connection cut: ${MOMENTS.map((moment) => `${cuts[moment]} ${moment}`).join(', ')}; ${reconnections} of them were felt`,
    `${clients} clients started one id at the same moment: ${startsOfOneId} start`,
    `durable over plain, median of ${pairs}: ${overheadMs.toFixed(1)} ms (at most ${MOST_OVERHEAD_MS}), beside ${plainMs.toFixed(1)} ms of a plain run`,
    ...(wrong.length === 0 ? ['0 started twice, 0 bytes lost or doubled, every exit status recovered'] : [`${wrong.length} wrong:`, ...wrong.slice(0, 20)]),
  ].join('\n')
}

async function makeScene(server: OpensshServer, seed: number): Promise<Scene> {
  const folder = await mkdtemp(join(tmpdir(), 'remex-durable-'))
  await chmod(folder, 0o755)
  await mkdir(join(folder, 'starts'))
  // The login is another user than ours.
  await chmod(join(folder, 'starts'), 0o777)
  await mkdir(join(folder, 'keys'), { mode: 0o700 })
  await writeFile(join(folder, 'keys', 'id_ed25519_vm01'), server.privateKey, { mode: 0o600 })
  const hashes = { stdout: createHash('sha256'), stderr: createHash('sha256') }
  for (let part = 1; part <= PARTS; part++) {
    for (const stream of ['stdout', 'stderr'] as const) {
      const bytes = randomBytes(PART_BYTES)
      hashes[stream].update(bytes)
      await writeFile(join(folder, `${stream}${part}`), bytes, { mode: 0o644 })
    }
  }
  return { server, folder, sha256: { stdout: hashes.stdout.digest('hex'), stderr: hashes.stderr.digest('hex') }, random: seededRandom(seed), wrong: [] }
}

/** A Remex of its own, with a state directory of its own, whose vm01 is behind the port. */
function openClient({ server, folder }: Scene, name: string, port = server.port): Promise<Remex> {
  const settings = { key_storage_path: join(folder, 'keys'), audit_log_path: join(folder, `audit-${name}`), connect_timeout: '30s' }
  const vm01 = { ip: server.address, ssh_port: port, ssh_user: server.login, host_key: server.hostKeys.map(({ fingerprint }) => fingerprint) }
  return Remex.open({ config: { vms: { vm01 }, remote_execution: settings }, user: name, env: { PATH: process.env.PATH, REMEX_STATE_DIR: join(folder, `state-${name}`) } })
}

async function cutRuns(scene: Scene, runs: number, onDone: (done: number) => void): Promise<Pick<Proof, 'cuts' | 'reconnections'>> {
  const cuts: Record<Moment, number> = { 'before the request': 0, 'during the start': 0, 'while output flows': 0, 'at the exit': 0 }
  let next = 0
  let reconnections = 0
  const worker = async (name: string): Promise<void> => {
    await using network = await startNetwork({ to: { host: scene.server.address, port: scene.server.port } })
    const remex = await openClient(scene, name, network.port)
    const host = remex.host('vm01')
    await host.run('true')
    while (next < runs) {
      const index = next++
      const moment = MOMENTS[index % MOMENTS.length] ?? 'at the exit'
      cuts[moment]++
      await cutRun(scene, { host, network, index, moment })
      onDone(index + 1)
    }
    reconnections += network.connections - 1
    await remex.close()
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, runs) }, (_, index) => worker(`worker${index}`)))
  await checkStarts(scene, runs)
  return { cuts, reconnections }
}

interface Cut {
  readonly host: Host
  readonly network: TestNetwork
  readonly index: number
  readonly moment: Moment
}

async function cutRun(scene: Scene, { host, network, index, moment }: Cut): Promise<void> {
  const runId = `cut-${index}`
  const exitCode = index % 126
  plan(scene.random, network, moment)
  const pause = (scene.random.below(10) + 6) / 1000
  const command = `echo start >> starts/${runId}; for i in 1 2 3 4 5; do cat stdout$i; cat stderr$i >&2; sleep ${pause}; done; exit ${exitCode}`
  const result = await outcomeOf(host.run(command, { durable: true, runId, cwd: scene.folder, timeout: '120s' }))
  if (result instanceof Error) scene.wrong.push(`${runId}, cut ${moment}: ${result.message}`)
  else scene.wrong.push(...faults(scene, result, exitCode).map((fault) => `${runId}, cut ${moment}: ${fault}`))
}

/** The bytes are those of the wire: what a start sends is some kB, what the output brings some more than its 50 kB. */
function plan(random: Random, network: TestNetwork, moment: Moment): void {
  // What was planned for the run before, and came too late for it, is no cut of this one.
  for (const direction of ['toServer', 'toClient'] as const) network.cutAfterBytes(Number.MAX_SAFE_INTEGER / 2, direction)
  if (moment === 'before the request') network.cut()
  else if (moment === 'during the start') network.cutAfterBytes(1 + random.below(12_000), 'toServer')
  else if (moment === 'while output flows') network.cutAfterBytes(500 + random.below(2 * PARTS * PART_BYTES), 'toClient')
  else network.cutAfterBytes(2 * PARTS * PART_BYTES + random.below(2000), 'toClient')
}

const outcomeOf = (run: Promise<RunResult>): Promise<RunResult | Error> => run.catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))))

function faults({ sha256 }: Scene, result: RunResult, exitCode: number): string[] {
  const found: string[] = []
  if (result.ended !== 'exited' || result.exitCode !== exitCode) found.push(`${result.ended} ${result.exitCode}, not exited ${exitCode}`)
  for (const [stream, bytes] of [['stdout', result.stdoutRaw], ['stderr', result.stderrRaw]] as const) {
    if (createHash('sha256').update(bytes).digest('hex') !== sha256[stream]) found.push(`${stream} is not what was written: ${bytes.length} bytes of ${PARTS * PART_BYTES}`)
  }
  return found
}

async function checkStarts({ folder, wrong }: Scene, runs: number): Promise<void> {
  const names = await readdir(join(folder, 'starts'))
  if (names.length !== runs) wrong.push(`${names.length} of ${runs} runs were started`)
  for (const name of names) {
    const starts = await startsOf(folder, name)
    if (starts !== 1) wrong.push(`${name} was started ${starts} times`)
  }
}

const startsOf = async (folder: string, runId: string): Promise<number> => (await readFile(join(folder, 'starts', runId), 'utf8').catch(() => '')).split('\n').length - 1

/** Every client is a Remex of its own, with a connection of its own that is open before the start. */
async function startAtOnce(scene: Scene, clients: number): Promise<number> {
  const all = await Promise.all(Array.from({ length: clients }, (_, index) => openClient(scene, `client${index}`)))
  await Promise.all(all.map((remex) => remex.host('vm01').run('true')))
  const command = 'echo start >> starts/one-id; cat stdout*; cat stderr* >&2; exit 7'
  const results = await Promise.all(all.map((remex) => outcomeOf(remex.host('vm01').run(command, { durable: true, runId: 'one-id', cwd: scene.folder }))))
  results.forEach((result, index) => {
    const found = result instanceof Error ? [result.message] : faults(scene, result, 7)
    scene.wrong.push(...found.map((fault) => `client ${index} of one id: ${fault}`))
  })
  await Promise.all(all.map((remex) => remex.close()))
  const starts = await startsOf(scene.folder, 'one-id')
  if (clients > 0 && starts !== 1) scene.wrong.push(`${clients} clients of one id made ${starts} starts`)
  return starts
}

async function overhead(scene: Scene, pairs: number): Promise<Pick<Proof, 'overheadMs' | 'plainMs'>> {
  const remex = await openClient(scene, 'overhead')
  const host = remex.host('vm01')
  const differences: number[] = []
  const plain: number[] = []
  for (let pair = -5; pair < pairs; pair++) {
    const plainMs = await timed(() => host.run('true'))
    const durableMs = await timed(() => host.run('true', { durable: true }))
    if (pair < 0) continue
    differences.push(durableMs - plainMs)
    plain.push(plainMs)
  }
  await remex.close()
  return pairs === 0 ? { overheadMs: Number.NaN, plainMs: Number.NaN } : { overheadMs: median(differences), plainMs: median(plain) }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now()
  await work()
  return performance.now() - startMs
}
