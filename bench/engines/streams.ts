import { Readable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import type { Channel, Connection, ConnectionInfo } from '../../src/transport/contract.ts'
import { judgedUnlessQuick, roundsOf } from '../fleet/entry.ts'
import { absent, clearedAway, type EngineEntry, type EngineStage } from './entry.ts'
import { ENGINES, nameOf, openScene } from './scene.ts'
import { hostCommand, momentOf, rateOf, sshRate, STARTED, TAKEN, type Flow, type Load } from './ssh-stream.ts'

const SIZE_BYTES = 512_000_000
const QUICK_BYTES = 3_000_000
/** What is given to a channel in one piece, again and again. */
const ZEROS = Buffer.alloc(256 * 1024)

/** Much through one stream of one command, over loopback: the rate. */
export const streamEntries: readonly EngineEntry[] = [
  { id: 'stdout', open: (stage) => openStream(stage, 'stdout') },
  { id: 'stdin', open: (stage) => openStream(stage, 'stdin') },
]

async function openStream(stage: EngineStage, flow: Flow): ReturnType<EngineEntry['open']> {
  const missing = absent('sshd', 'ssh')
  if (missing) return missing
  return clearedAway(async (afterwards) => {
    const scene = await openScene()
    afterwards(() => scene[Symbol.asyncDispose]())
    const { openssh, ssh2 } = scene.connections
    const load = { flow, sizeBytes: stage.quick ? QUICK_BYTES : SIZE_BYTES }
    return {
      id: flow,
      title: `${load.sizeBytes / 1e6} MB through ${flow}, from the start of the command on: against a whole \`ssh\` process with the same algorithms (${algorithms(openssh.info)}; ssh2: ${algorithms(ssh2.info)})`,
      unit: 'MB/s',
      ...roundsOf(stage, { rounds: 7, warmUps: 1 }),
      ...judgedUnlessQuick(stage, { contender: nameOf('openssh'), of: 'ratio', atLeast: 0.9 }),
      contenders: [
        { name: 'ssh', run: () => sshRate(scene.place, openssh.info, load) },
        ...ENGINES.map((engine) => ({ name: nameOf(engine), run: () => engineRate(scene.connections[engine], load) })),
      ],
    }
  })
}

const algorithms = ({ cipher, mac }: ConnectionInfo): string => (mac === '' ? cipher : `${cipher} with ${mac}`)

/** From the same moment to the same one as with `ssh`: the host says that it begins, the last byte is there. */
async function engineRate(connection: Connection, load: Load): Promise<number> {
  const channel = await connection.exec(hostCommand(load))
  const move = load.flow === 'stdout' ? take : give
  const [start, endMs] = await Promise.all([momentOf(STARTED, channel.stderr), move(channel, load)])
  const exit = await channel.exit
  if (exit.kind !== 'exited' || exit.exitCode !== 0) throw new Error(`the command ended as ${JSON.stringify(exit)}`)
  await channel.closed
  return rateOf(load, endMs - start.atMs)
}

/** Counts what comes. Resolves with the moment of its end. */
async function take({ stdin, stdout }: Channel, { sizeBytes }: Load): Promise<number> {
  let takenBytes = 0
  stdin.end()
  stdout.on('data', (chunk: Buffer) => {
    takenBytes += chunk.length
  })
  await finished(stdout)
  if (takenBytes !== sizeBytes) throw new Error(`${takenBytes} of ${sizeBytes} bytes came`)
  return performance.now()
}

/** Sends zeros. Resolves with the moment at which the host says that it has them. */
async function give({ stdin, stdout, stderr }: Channel, { sizeBytes }: Load): Promise<number> {
  stdout.resume()
  const [taken] = await Promise.all([momentOf(TAKEN, stderr), pipeline(Readable.from(zeros(sizeBytes)), stdin)])
  return taken.atMs
}

function* zeros(sizeBytes: number): Generator<Buffer> {
  for (let leftBytes = sizeBytes; leftBytes > 0; leftBytes -= ZEROS.length) yield ZEROS.subarray(0, leftBytes)
}
