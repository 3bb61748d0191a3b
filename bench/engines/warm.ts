import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { Remex } from '../../src/remex.ts'
import { judgedUnlessQuick, roundsOf } from '../fleet/entry.ts'
import type { Contender, Goal } from '../harness.ts'
import { wholeProcess } from '../lib/whole-process.ts'
import type { Place } from '../rows/place.ts'
import { absent, clearedAway, type EngineEntry } from './entry.ts'
import { configFor, ENGINES, nameOf, openScene, runOn, type EngineName } from './scene.ts'

const SSH = 'ssh through ControlMaster'
const COMMAND = 'true'
const GOALS: readonly Goal[] = [
  { contender: nameOf('openssh'), of: 'ratio', to: nameOf('ssh2'), atMost: 1.3 },
  { contender: nameOf('openssh'), of: 'ratio', to: SSH, atMost: 0.35 },
]

/** One command on a connection that is open: by the engines alone, and by the library with each of them, which adds its audit log. */
export const warmEntry: EngineEntry = {
  id: 'warm',
  async open(stage) {
    const missing = absent('sshd', 'ssh')
    if (missing) return missing
    return clearedAway(async (afterwards) => {
      const scene = await openScene()
      afterwards(() => scene[Symbol.asyncDispose]())
      const viaMaster = sharedSsh(scene.place)
      afterwards(viaMaster.stop)
      const libraries = await Promise.all(ENGINES.map((engine) => library(engine, scene.place, afterwards)))
      return {
        id: 'warm',
        title: `Run \`${COMMAND}\` on an open connection: the engines, and the library with each of them, against a whole \`ssh\` process through ControlMaster`,
        unit: 'ms',
        // An open connection is a process that has been running for a while: its code is compiled by then.
        ...roundsOf(stage, { rounds: 60, warmUps: 60 }),
        ...judgedUnlessQuick(stage, GOALS),
        contenders: [
          { name: SSH, run: viaMaster.run },
          ...ENGINES.map((engine) => ({ name: nameOf(engine), run: () => runOn(scene.connections[engine], COMMAND).then(() => undefined) })),
          ...libraries,
        ],
      }
    })
  },
}

function sharedSsh({ ssh: [ssh, ...options], folder }: Place): { run: () => Promise<number>; stop: () => void } {
  const socket = join(folder, 'm')
  // What it writes to is closed by its first process only: waiting for the end of a pipe would be waiting for the master.
  const { status } = spawnSync(ssh, ['-M', '-S', socket, '-f', '-N', ...options], { stdio: 'ignore' })
  if (status !== 0) throw new Error(`the master of ssh ended with ${status}`)
  // Without its master ssh would connect anew and say nothing; so it cannot.
  const argv = [ssh, '-S', socket, '-o', 'ProxyCommand=false', ...options, COMMAND] as const
  return {
    run: async () => (await wholeProcess({ argv })).wallMs,
    stop: () => void spawnSync(ssh, ['-S', socket, '-O', 'exit', ...options], { stdio: 'ignore' }),
  }
}

async function library(engine: EngineName, { configPath, folder }: Place, afterwards: (clear: () => unknown) => void): Promise<Contender> {
  const env = { ...process.env, REMEX_STATE_DIR: join(folder, `state-${engine}`) }
  const remex = await Remex.open({ config: await configFor(engine, configPath), env })
  afterwards(() => remex.close())
  const host = remex.host('vm01')
  return { name: `library, ${engine}`, run: () => host.run(COMMAND).then(() => undefined) }
}
