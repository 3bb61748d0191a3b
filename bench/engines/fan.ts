import { judgedUnlessQuick, roundsOf } from '../fleet/entry.ts'
import { makeFleet, type Squad } from '../fleet/fleet.ts'
import { PARALLEL } from '../fleet/parallel.ts'
import { CLUSH, COMMAND, peers, REMEX, remexCall, type Peer } from '../fleet/peers.ts'
import { Runs } from '../fleet/runs.ts'
import type { Contender } from '../harness.ts'
import { absent, clearedAway, type EngineEntry } from './entry.ts'
import { configFor, ENGINES, type EngineName } from './scene.ts'

const HOSTS = 100
const QUICK_HOSTS = 2

/** The same command on many hosts, new connections every time: whole processes, as in `./remex bench fleet`. */
export const fanEntry: EngineEntry = {
  id: 'fan-100',
  async open(stage) {
    const clush = peers.find(({ name }) => name === CLUSH)
    const missing = absent('sshd', 'ssh', 'clush')
    if (missing || clush === undefined) return missing ?? { skipped: 'there is no clush among the peers' }
    const fleet = await makeFleet(await stage.space.disk.directory(0o700))
    if ('skipped' in fleet) return fleet
    return clearedAway(async (afterwards) => {
      afterwards(() => fleet[Symbol.asyncDispose]())
      const squad = await fleet.squad(stage.quick ? QUICK_HOSTS : HOSTS)
      const ours = await Promise.all(ENGINES.map((engine) => remexBy(engine, squad)))
      const runs = new Runs()
      return {
        id: 'fan-100',
        title: `\`${COMMAND}\` on ${squad.count} hosts, ${PARALLEL} at a time (all on this machine, its processors do the work of all)`,
        unit: 'ms',
        ...roundsOf(stage, { rounds: 5, warmUps: 1 }),
        ...judgedUnlessQuick(stage, { contender: remexWith('openssh'), of: 'ratio', atMost: 0.8 }),
        contenders: [wallTime(runs, clush, squad), ...ours.map((peer) => wallTime(runs, peer, squad))],
      }
    })
  },
}

const remexWith = (engine: EngineName): string => `${REMEX}, ${engine}`

async function remexBy(engine: EngineName, squad: Squad): Promise<Peer> {
  const place = { remexConfigPath: await configFor(engine, squad.remexConfigPath), stateFolder: `${squad.stateFolder}-${engine}` }
  return { name: remexWith(engine), missing: () => undefined, call: () => remexCall(place, ['all', '--', ...COMMAND.split(' ')]) }
}

function wallTime(runs: Runs, peer: Peer, squad: Squad): Contender {
  let index = 0
  return { name: peer.name, run: async () => (await runs.reading(peer, squad, index++)).wallMs }
}
