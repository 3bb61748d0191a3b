import type { Entry } from '../bench.ts'
import { wholeProcess } from '../lib/whole-process.ts'
import { makePlace, type Place } from './place.ts'

/** The command line as a whole process: what a shell script or n8n pays for a call. */
export const processRow: Entry = {
  id: 'process',
  async open() {
    const place = await makePlace()
    return {
      id: 'process',
      title: 'A whole `remex run vm01 -- true` against a whole `ssh` process',
      unit: 'ms',
      goal: { contender: 'remex run', of: 'ratio', atMost: 1.1 },
      contenders: [
        { name: 'ssh', run: async () => (await wholeProcess({ argv: [...place.ssh, 'true'] })).wallMs },
        { name: 'remex run', run: async () => (await wholeProcess({ argv: remex(place, 'true') })).wallMs },
      ],
      [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
    }
  },
}

const GIGABYTE = 1_000_000_000

/** Output that nobody keeps must not be kept. */
export const memoryRow: Entry = {
  id: 'memory',
  async open() {
    const place = await makePlace()
    const command = ['head', '-c', String(GIGABYTE), '/dev/zero']
    const peak = async (argv: readonly [string, ...string[]]): Promise<number> =>
      ((await wholeProcess({ argv, watchMemory: true })).peakRssBytes ?? Number.NaN) / 1e6
    return {
      id: 'memory',
      title: '1 GB through stdout with the capture capped: peak memory of the process',
      unit: 'MB',
      warmUps: 0,
      rounds: 3,
      goal: { contender: 'remex run --json', of: 'value', atMost: 150 },
      contenders: [
        { name: 'ssh', run: () => peak([...place.ssh, ...command]) },
        { name: 'remex run', run: () => peak(remex(place, ...command)) },
        { name: 'remex run --json', run: () => peak(remex(place, ...command).toSpliced(4, 0, '--json', '--max-output', '1000000') as [string, ...string[]]) },
      ],
      [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
    }
  },
}

/** The built command line itself, as an installed `remex` is; `./remex` adds its look at the sources. */
function remex({ configPath }: Place, ...words: string[]): [string, ...string[]] {
  return [process.execPath, 'dist/cli.cjs', 'run', 'vm01', '--config', configPath, '--timeout', '60s', '--', ...words]
}
