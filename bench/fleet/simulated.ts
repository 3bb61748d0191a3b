import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Contender, Row } from '../harness.ts'
import { judgedUnlessQuick, roundsOf, type FleetEntry, type Stage } from './entry.ts'
import type { Squad } from './fleet.ts'
import { PARALLEL } from './parallel.ts'
import { answeredByAll, writePlace } from './own-rows.ts'
import { COMMAND, remexCall } from './peers.ts'

const SIZES = [500, 1000, 2000] as const
/** As that of real hosts. */
const MOST_OVER_LINEAR = 1.2
const WHAT = 'servers of the test kit with real shells, each with a port of its own, all in one other process'

/** More hosts than this machine has room for as real ones: how time and memory grow. */
export const simulatedRows: readonly FleetEntry[] = [
  { id: 'simulated', open: openTime },
  { id: 'simulated-memory', open: openMemory },
]

async function openTime(stage: Stage): Promise<Row & AsyncDisposable> {
  const scene = await openScene(stage)
  const timed = (count: number): Contender => ({ name: nameOf(count), run: async () => (await scene.run(count, false)).wallMs })
  const [few, ...more] = scene.sizes
  const most = more.at(-1) ?? few
  return {
    id: 'simulated',
    title: `\`${COMMAND}\` on simulated hosts, ${PARALLEL} at a time (${WHAT}, which has one processor at most)`,
    unit: 'ms',
    ...roundsOf(stage, { rounds: 3, warmUps: 0 }),
    ...judgedUnlessQuick(stage, { contender: nameOf(most), of: 'ratio', atMost: (MOST_OVER_LINEAR * most) / few }),
    contenders: [timed(few), ...more.map(timed)],
    [Symbol.asyncDispose]: scene.close,
  }
}

async function openMemory(stage: Stage): Promise<Row & AsyncDisposable> {
  const scene = await openScene(stage)
  const peak = (count: number): Contender => ({ name: nameOf(count), run: async () => ((await scene.run(count, true)).peakRssBytes ?? Number.NaN) / 1e6 })
  const [few, ...more] = scene.sizes
  return {
    id: 'simulated-memory',
    title: `\`${COMMAND}\` on simulated hosts: peak memory of the process`,
    unit: 'MB',
    rounds: 1,
    warmUps: 0,
    contenders: [peak(few), ...more.map(peak)],
    [Symbol.asyncDispose]: scene.close,
  }
}

function nameOf(count: number): string {
  return `remex run, ${count} simulated`
}

interface Scene {
  readonly sizes: readonly [number, ...number[]]
  readonly run: (count: number, watchMemory: boolean) => ReturnType<typeof answeredByAll>
  readonly close: () => Promise<void>
}

async function openScene(stage: Stage): Promise<Scene> {
  const sizes = stage.quick ? ([2, 4, 8] as const) : SIZES
  const folder = join(stage.folder, 'simulated')
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const servers = await startServers(sizes[2], folder)
  try {
    const ports = JSON.parse(await readFile(join(folder, 'ports.json'), 'utf8')) as readonly number[]
    const vms = ports.map((port) => ({ ip: '127.0.0.1', ssh_port: port, ssh_user: 'tester', identity_file: join(folder, 'key') }))
    const places = new Map<number, Pick<Squad, 'remexConfigPath' | 'stateFolder'>>()
    for (const count of sizes) places.set(count, await writePlace(stage, `simulated-${count}`, { vms: vms.slice(0, count), known_hosts_path: join(folder, 'known_hosts') }))
    return {
      sizes,
      run: (count, watchMemory) => answeredByAll({ ...remexCall(places.get(count) ?? never(count), ['all', '--', ...COMMAND.split(' ')]), watchMemory }, count),
      close: () => endServers(servers),
    }
  } catch (error) {
    await endServers(servers)
    throw error
  }
}

function never(count: number): never {
  throw new Error(`there is no configuration of ${count} hosts`)
}

async function startServers(count: number, folder: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['bench/fleet/peers/simulated-hosts.mjs', String(count), folder], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'close').then(() => Promise.reject(new Error('the simulated hosts do not start')))
  await Promise.race([once(child.stdout, 'data'), ended])
  ended.catch(() => undefined)
  return child
}

/** They end with their stdin. */
async function endServers(servers: ChildProcess): Promise<void> {
  if (servers.exitCode !== null || servers.signalCode !== null) return
  const closed = once(servers, 'close')
  servers.stdin?.end()
  await closed
}
