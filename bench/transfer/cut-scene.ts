import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { RemexError } from '../../src/core/errors.ts'
import { Remex } from '../../src/remex.ts'
import { startNetwork, type TestNetwork } from '../../testkit/network.ts'
import { startOpensshServer, type OpensshServer } from '../../testkit/openssh-server.ts'
import { findProcesses, signalProcess } from '../../testkit/processes.ts'
import type { Random } from '../lib/random.ts'
import type { Area } from '../lib/workspace.ts'
import type { CutKind, CutMoment, TrafficModel } from './cut-plan.ts'
import type { Direction } from './place.ts'

/** A server, a network that cuts, and one machine's Remex: as a library and as a process, with one state directory. */
export interface CutScene extends AsyncDisposable {
  readonly server: OpensshServer
  readonly network: TestNetwork
  /** The library as it is open now. */
  readonly remex: () => Remex
  /** Opens it anew, so that the next attempt makes a connection. */
  readonly reopen: () => Promise<void>
  readonly configPath: string
  readonly stateFolder: string
  /** For the files that are moved. */
  readonly area: Area
}

/** What an attempt moves. */
export interface Moving {
  readonly direction: Direction
  readonly source: string
  readonly target: string
}

/** How an attempt is made, and how it is interrupted. */
export interface Attempt {
  readonly by: 'library' | 'process'
  readonly resume: boolean
  readonly cut: (CutMoment & { readonly kind: CutKind; readonly random: Random }) | undefined
}

/** How an attempt ended: a code of Remex, `KILLED`, or `HUNG` for what did not end by itself; undefined for success. */
export interface AttemptEnd {
  readonly error: string | undefined
  readonly message: string
  readonly resumedFromBytes: number
}

const MOST_MS = 60_000

/** Makes one. Throws where there is no sshd. */
export async function openScene(area: Area): Promise<CutScene> {
  const server = await startOpensshServer({ postQuantum: true, maxSessions: 200 })
  if ('skipped' in server) throw new Error(`the proof needs a server: ${server.skipped}`)
  const network = await startNetwork({ to: { host: server.address, port: server.port } })
  const folder = await area.directory(0o700)
  const stateFolder = join(folder, 'state')
  await mkdir(stateFolder, { mode: 0o700 })
  const configPath = join(folder, 'config.json')
  const host_key = server.hostKeys.map(({ fingerprint }) => fingerprint)
  const vm01 = { ip: server.address, ssh_port: network.port, ssh_user: server.login, identity_file: server.privateKeyPath, host_key }
  await writeFile(configPath, JSON.stringify({ vms: { vm01 }, remote_execution: { audit_log_path: join(folder, 'audit') } }))
  const openOne = (): Promise<Remex> => Remex.open({ config: configPath, env: { PATH: process.env['PATH'], REMEX_STATE_DIR: stateFolder } })
  let remex = await openOne()
  return {
    server, network, configPath, stateFolder, area,
    remex: () => remex,
    reopen: async () => {
      await remex.close()
      remex = await openOne()
    },
    async [Symbol.asyncDispose]() {
      await network.close()
      await remex.close()
      await server.close()
    },
  }
}

/** Learns what transfers send each way: two in each direction, of two sizes, each over a connection of its own. */
export async function learnTraffic(scene: CutScene, moving: (direction: Direction, sizeBytes: number) => Promise<Moving>): Promise<TrafficModel> {
  const [none, much] = [0, 4_000_000]
  const linesOf = async (direction: Direction): Promise<TrafficModel[Direction]> => {
    const small = await trafficOf(scene, await moving(direction, none))
    const large = await trafficOf(scene, await moving(direction, much))
    const line = (way: 'toServer' | 'toClient'): { base: number; perByte: number } => ({ base: small[way], perByte: (large[way] - small[way]) / much })
    return { toServer: line('toServer'), toClient: line('toClient') }
  }
  return { up: await linesOf('up'), down: await linesOf('down') }
}

async function trafficOf(scene: CutScene, moving: Moving): Promise<TestNetwork['delivered']> {
  await scene.reopen()
  const before = { ...scene.network.delivered }
  const { error, message } = await attempt(scene, moving, { by: 'library', resume: false, cut: undefined })
  if (error !== undefined) throw new Error(`a transfer without a cut fails: ${error} ${message}`)
  const { toServer, toClient } = scene.network.delivered
  return { toServer: toServer - before.toServer, toClient: toClient - before.toClient }
}

/** Makes one attempt, and interrupts it when its moment comes. */
export async function attempt(scene: CutScene, moving: Moving, how: Attempt): Promise<AttemptEnd> {
  const { network } = scene
  // What was planned for the attempt before, and came too late for it, is no cut of this one.
  for (const way of ['toServer', 'toClient'] as const) network.cutAfterBytes(Number.MAX_SAFE_INTEGER / 2, way)
  if (how.cut?.kind === 'connection cut') network.cutAfterBytes(how.cut.afterBytes, how.cut.way)
  const over = new AbortController()
  const [ended, kill] = how.by === 'library' ? [byLibrary(scene, moving, how), () => undefined] : byProcess(scene, moving, how)
  const killing = killAt(scene, { cut: how.cut, over: over.signal, killClient: kill })
  try {
    return await ended
  } finally {
    over.abort()
    await killing
  }
}

async function byLibrary({ remex }: CutScene, { direction, source, target }: Moving, { resume }: Attempt): Promise<AttemptEnd> {
  const host = remex().host('vm01')
  const signal = AbortSignal.timeout(MOST_MS)
  const options = { resume, retries: 1, signal }
  try {
    const { resumedFromBytes } = await (direction === 'up' ? host.put(source, target, options) : host.get(source, target, options))
    return { error: undefined, message: '', resumedFromBytes }
  } catch (error) {
    const code = error instanceof RemexError ? error.code : 'UNKNOWN'
    return { error: signal.aborted ? 'HUNG' : code, message: error instanceof Error ? error.message : String(error), resumedFromBytes: 0 }
  }
}

/** The built command line, and the way to kill it. */
function byProcess({ configPath, stateFolder }: CutScene, { direction, source, target }: Moving, { resume }: Attempt): [Promise<AttemptEnd>, () => void] {
  const words = [direction === 'up' ? 'put' : 'get', 'vm01', source, target, '--json', '--retries', '1', '--config', configPath, ...(resume ? ['--resume'] : [])]
  const env = { ...process.env, REMEX_STATE_DIR: stateFolder }
  const child = spawn(process.execPath, ['dist/cli.cjs', ...words], { env, stdio: ['ignore', 'pipe', 'pipe'], timeout: MOST_MS })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const ended = new Promise<AttemptEnd>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (status, signal) => {
      if (signal) resolve({ error: signal === 'SIGKILL' ? 'KILLED' : 'HUNG', message: stderr, resumedFromBytes: 0 })
      else resolve(endOf(status, stdout, stderr))
    })
  })
  return [ended, () => child.kill('SIGKILL')]
}

function endOf(status: number | null, stdout: string, stderr: string): AttemptEnd {
  try {
    const { error, resumed_from_bytes: resumedFromBytes } = JSON.parse(stdout) as { error: { code: string; message: string } | null; resumed_from_bytes: number }
    return { error: status === 0 ? undefined : (error?.code ?? 'UNKNOWN'), message: error?.message ?? '', resumedFromBytes }
  } catch {
    return { error: 'UNKNOWN', message: `ended with ${status}: ${stdout} ${stderr}`, resumedFromBytes: 0 }
  }
}

interface Killing {
  readonly cut: Attempt['cut']
  /** Aborted when the attempt is over. */
  readonly over: AbortSignal
  readonly killClient: () => void
}

/** Kills the client or the server as soon as the bytes of the plan have gone by. */
async function killAt({ network, server }: CutScene, { cut, over, killClient }: Killing): Promise<void> {
  if (cut === undefined || cut.kind === 'connection cut') return
  const startBytes = network.delivered[cut.way]
  while (network.delivered[cut.way] - startBytes < cut.afterBytes) {
    if (over.aborted) return
    await delay(1)
  }
  if (cut.kind === 'client killed') killClient()
  else killSession(server, cut.random)
}

/** Any one of the processes that serve the connection: its monitor, its session, its sftp server. Never the one that listens. */
function killSession({ pid }: OpensshServer, random: Random): void {
  const candidates = findProcesses({ roots: [pid] }).filter((candidate) => candidate !== pid && isSshd(candidate))
  const chosen = candidates[random.below(candidates.length)]
  if (chosen !== undefined) signalProcess(chosen, 'SIGKILL')
}

function isSshd(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('sshd')
  } catch {
    return false
  }
}
