import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { judgedUnlessQuick, roundsOf } from '../fleet/entry.ts'
import type { Contender } from '../harness.ts'
import { makeFile } from '../lib/sources.ts'
import { wholeProcess, type ProcessCall } from '../lib/whole-process.ts'
import { makePlace, type Place } from '../rows/place.ts'
import { settle } from '../transfer/place.ts'
import { absent, clearedAway, type EngineEntry } from './entry.ts'
import { configFor, ENGINES, type EngineName } from './scene.ts'

const SIZE_BYTES = 64_000_000
const QUICK_BYTES = 1_000_000
const LATENCY_MS = 25

/** A file over a long way: what the size of windows decides. Whole processes; what arrives is compared, outside of the time. */
export const lagEntry: EngineEntry = {
  id: 'lag-down',
  async open(stage) {
    const missing = absent('sshd', 'ssh', 'sftp', 'diff')
    if (missing) return missing
    const { disk } = stage.space
    const sizeBytes = stage.quick ? QUICK_BYTES : SIZE_BYTES
    const source = await disk.once(`file-${sizeBytes}`, (path) => makeFile(path, sizeBytes))
    const folder = await disk.directory()
    return clearedAway(async (afterwards) => {
      const place = await makePlace({ latencyMs: LATENCY_MS })
      afterwards(() => place[Symbol.asyncDispose]())
      return {
        id: 'lag-down',
        title: `A file of ${sizeBytes / 1e6} MB down at ${2 * LATENCY_MS} ms round trip, against \`sftp\``,
        unit: 'ms',
        ...roundsOf(stage, { rounds: 7, warmUps: 1 }),
        ...judgedUnlessQuick(stage, { contender: getBy('openssh'), of: 'ratio', atMost: 0.5 }),
        contenders: [
          downloader('sftp', { source, folder, call: (target) => sftpCall(place, source, target) }),
          ...ENGINES.map((engine) => downloader(getBy(engine), { source, folder, call: (target) => remexCall(place, engine, [source, target]) })),
        ],
      }
    })
  },
}

const getBy = (engine: EngineName): string => `remex get, ${engine}`

interface Download {
  readonly source: string
  /** Where targets go. */
  readonly folder: string
  readonly call: (target: string) => Promise<ProcessCall>
}

function downloader(name: string, { source, folder, call }: Download): Contender {
  let count = 0
  return {
    name,
    async run() {
      const target = join(folder, `${name.replaceAll(/\W+/g, '-')}-${++count}`)
      await settle(target)
      const { wallMs } = await wholeProcess(await call(target))
      await wholeProcess({ argv: ['diff', '-q', source, target] })
      return wallMs
    },
  }
}

async function sftpCall({ sshOptions, destination, folder }: Place, source: string, target: string): Promise<ProcessCall> {
  const batch = join(folder, 'sftp-batch')
  await writeFile(batch, `get ${source} ${target}\n`)
  return { argv: ['sftp', ...sshOptions, '-q', '-b', batch, destination] }
}

/** The built command line itself, as an installed `remex` is. */
async function remexCall({ configPath, folder }: Place, engine: EngineName, paths: readonly [string, string]): Promise<ProcessCall> {
  const config = await configFor(engine, configPath)
  const env = { ...process.env, REMEX_STATE_DIR: join(folder, `state-${engine}`) }
  return { argv: [process.execPath, 'dist/cli.cjs', 'get', 'vm01', ...paths, '--quiet', '--config', config], env }
}
