import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import type { Entry } from '../bench.ts'
import { wholeProcess } from '../lib/whole-process.ts'
import { bareClient } from './bare-ssh2.ts'
import { makePlace } from './place.ts'

/** One command on a connection that is open: what a health check of ten commands pays for nine of them. */
export const warmRow: Entry = {
  id: 'warm',
  async open() {
    const place = await makePlace()
    const [ssh, ...options] = place.ssh
    const socket = join(place.folder, 'm')
    spawnSync(ssh, ['-M', '-S', socket, '-f', '-N', ...options], { stdio: 'ignore' })
    const remex = await place.open()
    const host = remex.host('vm01')
    return {
      id: 'warm',
      title: 'Run `true` on an open connection: the library against a whole `ssh` process through ControlMaster',
      unit: 'ms',
      // An open connection is a process that has been running for a while: its code is compiled by then.
      warmUps: 60,
      rounds: 60,
      goal: { contender: 'remex library', of: 'ratio', atMost: 0.35 },
      contenders: [
        { name: 'ssh through ControlMaster', run: async () => (await wholeProcess({ argv: [ssh, '-S', socket, ...options, 'true'] })).wallMs },
        { name: 'remex library', run: () => host.run('true').then(() => undefined) },
      ],
      async [Symbol.asyncDispose]() {
        spawnSync(ssh, ['-S', socket, '-O', 'exit', ...options], { stdio: 'ignore' })
        await remex.close()
        await place[Symbol.asyncDispose]()
      },
    }
  },
}

const AT_ONCE = 16
const RUNS = 400

/** Many commands at once on one connection, against the bare library underneath. */
export const rateRow: Entry = {
  id: 'rate',
  async open() {
    const place = await makePlace()
    const remex = await place.open()
    const host = remex.host('vm01')
    const bare = await bareClient(place.server)
    return {
      id: 'rate',
      title: `Run \`true\`, ${AT_ONCE} at a time on one connection, audit log on: against bare ssh2 without any of it`,
      unit: 'runs/s',
      warmUps: 6,
      rounds: 11,
      goal: { contender: 'remex library', of: 'ratio', atLeast: 0.9 },
      contenders: [
        { name: 'bare ssh2', run: () => rate(() => bare.run('true')) },
        { name: 'remex library', run: () => rate(() => host.run('true')) },
      ],
      async [Symbol.asyncDispose]() {
        bare.close()
        await remex.close()
        await place[Symbol.asyncDispose]()
      },
    }
  },
}

async function rate(run: () => Promise<unknown>): Promise<number> {
  let left = RUNS
  const startMs = performance.now()
  const worker = async (): Promise<void> => {
    while (left-- > 0) await run()
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  return (RUNS * 1000) / (performance.now() - startMs)
}
