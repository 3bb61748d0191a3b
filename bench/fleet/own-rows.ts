import { mkdir, writeFile } from 'node:fs/promises'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { join } from 'node:path'
import { Remex } from '../../src/remex.ts'
import type { Skipped } from '../../testkit/daemon.ts'
import { startOpensshServer } from '../../testkit/openssh-server.ts'
import type { Contender, Row } from '../harness.ts'
import { wholeProcess, type ProcessFacts } from '../lib/whole-process.ts'
import { judgedUnlessQuick, lasting, roundsOf, type FleetEntry, type Stage } from './entry.ts'
import type { Squad } from './fleet.ts'
import { PARALLEL } from './parallel.ts'
import { ANSWER, COMMAND, REMEX, remexCall } from './peers.ts'

/** What is asked of Remex alone. */
export const ownRows: readonly FleetEntry[] = [
  { id: 'loop', open: openLoop },
  { id: 'fold', open: openFold },
  { id: 'one-sshd', open: openOneSshd },
]

const MOST_LOOP_MS = 100

/** How long everything else in a process that uses the library has to wait at most: for its own timers, sockets, requests. */
async function openLoop(stage: Stage): Promise<(Row & AsyncDisposable) | Skipped> {
  const fleet = await stage.fleet()
  if ('skipped' in fleet) return fleet
  const squads = await Promise.all((stage.quick ? [2, 4] : [100, 500]).map((count) => fleet.squad(count)))
  const looks = squads.flatMap((squad) => delaysOf(squad))
  const [first, ...rest] = looks
  if (first === undefined) throw new Error('there is nothing to measure')
  return lasting({
    id: 'loop',
    title: `The library runs \`${COMMAND}\`: delay of the event loop`,
    unit: 'ms',
    ...roundsOf(stage, { rounds: 5, warmUps: 1 }),
    ...judgedUnlessQuick(stage, { contender: looks.map(({ name }) => name).filter((name) => name.endsWith('longest')), of: 'value', atMost: MOST_LOOP_MS }),
    contenders: [first, ...rest],
  })
}

/** Two contenders that look at one and the same run: the first makes it. */
function delaysOf(squad: Squad): readonly Contender[] {
  let p99Ms = Number.NaN
  const run = async (): Promise<number> => {
    const { longestMs, ...rest } = await loopDelays(squad)
    p99Ms = rest.p99Ms
    return longestMs
  }
  return [{ name: `${squad.count} hosts, longest`, run }, { name: `${squad.count} hosts, 99th percentile`, run: () => Promise.resolve(p99Ms) }]
}

async function loopDelays({ remexConfigPath, stateFolder }: Squad): Promise<{ readonly longestMs: number; readonly p99Ms: number }> {
  await using remex = await Remex.open({ config: remexConfigPath, env: { PATH: process.env['PATH'], REMEX_STATE_DIR: stateFolder } })
  const delays = monitorEventLoopDelay({ resolution: 1 })
  delays.enable()
  for await (const report of remex.hosts('all').run(COMMAND)) if (!report.success) throw new Error(`${report.vmId} has no answer`)
  delays.disable()
  return { longestMs: delays.max / 1e6, p99Ms: delays.percentile(99) / 1e6 }
}

const FOLD_TIMES = 2
const FOLD_MOST_MB = 300

/** Equal output is held once. Every address of the fleet stands twice in the configuration. */
async function openFold(stage: Stage): Promise<(Row & AsyncDisposable) | Skipped> {
  const fleet = await stage.fleet()
  if ('skipped' in fleet) return fleet
  const squad = await fleet.squad(stage.quick ? 4 : 500)
  const sizeBytes = stage.quick ? 100_000 : 1_000_000
  const entry = (ip: string) => ({ ip, ssh_port: squad.port, ssh_user: squad.login, identity_file: squad.privateKeyPath })
  const addresses = Array.from({ length: FOLD_TIMES }, () => squad.addresses).flat()
  const place = await writePlace(stage, 'fold', { vms: addresses.map(entry), known_hosts_path: squad.knownHostsPath })
  return lasting({
    id: 'fold',
    title: `${addresses.length.toLocaleString('en')} hosts (${squad.count} addresses, each ${FOLD_TIMES} times) with ${sizeBytes / 1e6} MB of equal output each, folded by \`--gather\`: peak memory of the process`,
    unit: 'MB',
    rounds: 1,
    warmUps: 0,
    ...judgedUnlessQuick(stage, { contender: `${REMEX} --gather`, of: 'value', atMost: FOLD_MOST_MB }),
    contenders: [{
      name: `${REMEX} --gather`,
      async run() {
        const words = ['all', '--gather', '--timeout', '5m', '-c', `yes 'the same line of text on every host' | head -c ${sizeBytes}`]
        const { peakRssBytes, stdout } = await wholeProcess({ ...remexCall(place, words), watchMemory: true, keepStdout: true })
        // One of them and its heading, and nothing twice.
        if (stdout.length < sizeBytes || stdout.length > sizeBytes * 1.5) throw new Error(`${stdout.length} bytes came out`)
        return (peakRssBytes ?? Number.NaN) / 1e6
      },
    }],
  })
}

/** What a careful administrator has: sshd's own limits, with one server behind all names. */
async function openOneSshd(stage: Stage): Promise<(Row & AsyncDisposable) | Skipped> {
  const server = await startOpensshServer({ postQuantum: true, maxStartups: '10:30:100', maxSessions: 10 })
  if ('skipped' in server) return server
  const count = stage.quick ? 8 : 500
  const entry = { ip: server.address, ssh_port: server.port, ssh_user: server.login, identity_file: server.privateKeyPath }
  const place = await writePlace(stage, 'one-sshd', { vms: Array.from({ length: count }, () => entry), known_hosts_path: server.knownHostsPath })
  return {
    id: 'one-sshd',
    title: `\`${COMMAND}\` on ${count} hosts of the configuration behind one sshd with MaxStartups 10:30:100 and MaxSessions 10, ${PARALLEL} at a time; all must answer`,
    unit: 'ms',
    ...roundsOf(stage, { rounds: 3, warmUps: 0 }),
    contenders: [{ name: REMEX, run: async () => (await answeredByAll(remexCall(place, ['all', '--', ...COMMAND.split(' ')]), count)).wallMs }],
    [Symbol.asyncDispose]: () => server.close(),
  }
}

/** Runs it, and rejects unless it ends well and every host answered. */
export async function answeredByAll(call: Parameters<typeof wholeProcess>[0], count: number): Promise<ProcessFacts> {
  const facts = await wholeProcess({ ...call, keepStdout: true })
  const answers = facts.stdout.split(ANSWER).length - 1
  if (answers !== count) throw new Error(`${answers} of ${count} hosts answered`)
  return facts
}

/** A host as the configuration has it. */
type HostEntry = Readonly<Record<string, unknown>>

/** Writes a configuration of Remex for these hosts. */
export async function writePlace({ folder }: Stage, name: string, { vms, known_hosts_path }: { vms: readonly HostEntry[]; known_hosts_path: string }): Promise<Pick<Squad, 'remexConfigPath' | 'stateFolder'>> {
  const own = join(folder, name)
  await mkdir(own, { recursive: true, mode: 0o700 })
  const remexConfigPath = join(own, 'config.json')
  const numbered = Object.fromEntries(vms.map((entry, index) => [`vm${index + 1}`, entry]))
  await writeFile(remexConfigPath, JSON.stringify({ vms: numbered, remote_execution: { known_hosts_path, audit_log_path: join(own, 'audit') } }), { mode: 0o600 })
  return { remexConfigPath, stateFolder: join(own, 'state') }
}
