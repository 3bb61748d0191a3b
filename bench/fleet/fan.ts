import type { Skipped } from '../../testkit/daemon.ts'
import type { Contender, Goal, LeftOut, Row } from '../harness.ts'
import { judgedUnlessQuick, lasting, roundsOf, type FleetEntry, type Stage } from './entry.ts'
import type { Squad } from './fleet.ts'
import { PARALLEL } from './parallel.ts'
import { ANSIBLE, CLUSH, COMMAND, peers, PSSH, REMEX, type Peer } from './peers.ts'
import type { Reading } from './runs.ts'

/** Numbers of hosts that every contender is measured with. */
export const SIZES = [1, 10, 100, 500] as const
type Size = (typeof SIZES)[number]

const QUICK_SIZES: Readonly<Record<Size, number>> = { 1: 1, 10: 2, 100: 2, 500: 4 }
const CPU_SIZE: Size = 100
const FEWER_SIZE: Size = 100
/** Five times the hosts may take so much more than five times the time. */
const MOST_OVER_LINEAR = 1.2
const MOST_MB = 200
const ON_FEWER = `${REMEX} on ${FEWER_SIZE} hosts`

const ROUNDS: Readonly<Record<Size, { readonly rounds: number; readonly warmUps: number }>> = {
  1: { rounds: 11, warmUps: 1 },
  10: { rounds: 7, warmUps: 1 },
  100: { rounds: 5, warmUps: 1 },
  500: { rounds: 3, warmUps: 0 },
}

/** The same command on many hosts, by everybody who can: its time. */
export const fanRows: readonly FleetEntry[] = SIZES.map((size) => ({ id: `fan-${size}`, open: (stage: Stage) => openFan(stage, size) }))

/** The same: the most memory at one time. Without those who stay connected: what holds their connections is not of the call. */
export const memoryRows: readonly FleetEntry[] = SIZES.map((size) => ({ id: `memory-${size}`, open: (stage: Stage) => openMemory(stage, size) }))

/** The same on 100 hosts: the processor time, of the client and of everything. */
export const cpuRows: readonly FleetEntry[] = [
  { id: 'cpu', open: (stage) => openCpu(stage, { id: 'cpu', of: 'client, and all that it starts and waits for', read: ({ clientCpuMs }) => clientCpuMs }) },
  { id: 'cpu-all', open: (stage) => openCpu(stage, { id: 'cpu-all', of: 'whole machine, servers and all', read: ({ machineCpuMs }) => machineCpuMs }) },
]

const FAN_GOALS: Readonly<Record<Size, readonly Goal[]>> = {
  1: [],
  10: [],
  100: [
    { contender: REMEX, of: 'ratio', to: CLUSH, atMost: 0.35 },
    { contender: REMEX, of: 'ratio', to: PSSH, atMost: 0.35 },
    { contender: REMEX, of: 'ratio', to: ANSIBLE, atMost: 0.25 },
  ],
  500: [{ contender: REMEX, of: 'ratio', to: ON_FEWER, atMost: MOST_OVER_LINEAR * (500 / FEWER_SIZE) }],
}

async function openFan(stage: Stage, size: Size): Promise<(Row & AsyncDisposable) | Skipped> {
  const cast = await castOf(stage, size)
  if ('skipped' in cast) return cast
  const turns = (peer: Peer, squad = cast.squad): Contender => reader(stage, { peer, squad, read: ({ wallMs }) => wallMs })
  const fewer = size === 500 ? await cast.squadOf(FEWER_SIZE) : undefined
  return lasting({
    id: `fan-${size}`,
    title: `\`${COMMAND}\` on ${hosts(cast.squad.count)}, ${PARALLEL} at a time`,
    unit: 'ms',
    ...roundsOf(stage, ROUNDS[size]),
    ...judgedUnlessQuick(stage, FAN_GOALS[size]),
    leftOut: cast.leftOut,
    contenders: [turns(cast.remex), ...(fewer === undefined ? [] : [{ ...turns(cast.remex, fewer), name: ON_FEWER }]), ...cast.others.map((peer) => turns(peer))],
  })
}

async function openMemory(stage: Stage, size: Size): Promise<(Row & AsyncDisposable) | Skipped> {
  const cast = await castOf(stage, size)
  if ('skipped' in cast) return cast
  const peak = (peer: Peer): Contender => ({
    name: peer.name,
    mayFail: peer !== cast.remex,
    run: async () => (await stage.runs.peakBytes(peer, cast.squad)) / 1e6,
  })
  return lasting({
    id: `memory-${size}`,
    title: `\`${COMMAND}\` on ${hosts(cast.squad.count)}: peak memory of the client, and of all that it starts`,
    unit: 'MB',
    rounds: 1,
    warmUps: 0,
    ...judgedUnlessQuick(stage, size === 500 ? { contender: REMEX, of: 'value', atMost: MOST_MB } : []),
    leftOut: cast.leftOut,
    contenders: [peak(cast.remex), ...cast.others.filter(({ staysConnected }) => !staysConnected).map(peak)],
  })
}

async function openCpu(stage: Stage, { id, of, read }: { id: string; of: string; read: (reading: Reading) => number }): Promise<(Row & AsyncDisposable) | Skipped> {
  const cast = await castOf(stage, CPU_SIZE)
  if ('skipped' in cast) return cast
  const turns = (peer: Peer): Contender => reader(stage, { peer, squad: cast.squad, read: (reading) => read(reading) / 1000 })
  return lasting({
    id,
    title: `\`${COMMAND}\` on ${hosts(cast.squad.count)}: processor time of the ${of}`,
    unit: 's',
    ...roundsOf(stage, ROUNDS[CPU_SIZE]),
    leftOut: cast.leftOut,
    contenders: [turns(cast.remex), ...cast.others.map(turns)],
  })
}

/** Who takes part, and on which hosts. */
interface Cast {
  readonly squad: Squad
  readonly squadOf: (size: Size) => Promise<Squad>
  readonly remex: Peer
  readonly others: readonly Peer[]
  readonly leftOut: readonly LeftOut[]
}

async function castOf(stage: Stage, size: Size): Promise<Cast | Skipped> {
  const fleet = await stage.fleet()
  if ('skipped' in fleet) return fleet
  const squadOf = (wanted: Size): Promise<Squad> => fleet.squad(stage.quick ? QUICK_SIZES[wanted] : wanted)
  const [remex, ...rest] = peers
  const judged = rest.map((peer) => ({ peer, reason: peer.missing() }))
  return {
    squad: await squadOf(size),
    squadOf,
    remex,
    others: judged.filter(({ reason }) => reason === undefined).map(({ peer }) => peer),
    leftOut: judged.flatMap(({ peer: { name }, reason }) => (reason === undefined ? [] : [{ name, reason }])),
  }
}

/** A contender whose samples are read from the runs in their order. */
function reader({ runs }: Stage, { peer, squad, read }: { peer: Peer; squad: Squad; read: (reading: Reading) => number }): Contender {
  let index = 0
  return { name: peer.name, mayFail: peer.name !== REMEX, run: async () => read(await runs.reading(peer, squad, index++)) }
}

function hosts(count: number): string {
  return count === 1 ? 'one host' : `${count} hosts`
}
