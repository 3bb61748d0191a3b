import { readdirSync, readFileSync } from 'node:fs'
import type { Host } from '../src/fleet/host.ts'
import { fleetOf } from '../test/interop/fleet-of.ts'
import { startOpensshServer, type OpensshServer } from '../testkit/openssh-server.ts'

/** Trees that a deadline must end: each is marked by the length of its sleeps, `@`, so that what is left is found by it. */
const TREES: readonly (readonly [string, string])[] = [
  ['nested sh -c', 'sh -c "sh -c \\"sleep @; :\\"; :"; :'],
  ['setsid', 'setsid sh -c "sleep @; :" & wait'],
  ['double fork', 'sh -c "setsid sh -c \\"sleep @; :\\" &"; sleep @'],
  ['ignored TERM', 'trap "" TERM HUP INT; (trap "" TERM; while :; do sleep @; done) & while :; do sleep @; done'],
  ['stopped', 'sh -c "kill -STOP \\$\\$; sleep @" & wait'],
  // Bounded, so that a failure of this program cannot hurt the machine.
  ['a fork every 10 ms, TERM ignored', 'trap "" TERM; n=0; while [ $n -lt 600 ]; do n=$((n+1)); sh -c "trap \\"\\" TERM; sleep @; :" & sleep 0.01; done; wait'],
]

const TIMEOUT_S = 1
const GOAL_S = 2.5

/** `./remex bench kill`: ends every kind of tree at its deadline, by ordinary and by durable runs, as an ordinary user and as root. */
export async function killProof(): Promise<number> {
  const server = await startOpensshServer({ postQuantum: true })
  if ('skipped' in server) throw new Error(server.skipped)
  try {
    let failed = 0
    for (const login of process.getuid?.() === 0 ? [server.login, 'root'] : [server.login]) failed += await provenFor(server, login)
    process.stdout.write(failed === 0 ? '\nall trees gone in time\n' : `\n${failed} trees not gone in time\n`)
    return failed === 0 ? 0 : 1
  } finally {
    await server.close()
  }
}

async function provenFor(server: OpensshServer, login: string): Promise<number> {
  if (login === 'root') await server.authorize('root')
  await using fleet = await fleetOf({ vm01: { server, login } })
  const host = fleet.remex.host('vm01')
  let failed = 0
  for (const durable of [false, true]) {
    for (const [index, [name, text]] of TREES.entries()) failed += await provenTree(host, { name, text, durable, mark: 7000 + index + (durable ? 100 : 0) + (login === 'root' ? 200 : 0), login })
  }
  return failed
}

interface Tree {
  readonly name: string
  readonly text: string
  readonly durable: boolean
  /** Seconds that its sleeps last: what tells its processes from all others. */
  readonly mark: number
  readonly login: string
}

async function provenTree(host: Host, { name, text, durable, mark, login }: Tree): Promise<number> {
  const watch = new Watch(mark)
  const result = await host.run(text.replaceAll('@', String(mark)), { timeout: TIMEOUT_S, durable })
  const { aliveS, left } = watch.end()
  const afterS = Math.max(0, aliveS - TIMEOUT_S)
  const good = left === 0 && afterS <= GOAL_S && result.killed?.survivors.length === 0
  const verdict = result.killed ? `${result.killed.ended} ended, ${result.killed.survivors.length} survived` : 'no verdict'
  const who = login === 'root' ? 'root    ' : 'ordinary'
  process.stdout.write(`${good ? 'ok    ' : 'FAILED'}  ${who}  ${durable ? 'durable' : 'plain  '}  ${name.padEnd(34)} gone ${afterS.toFixed(2)} s after the deadline: ${verdict}, ${left} found\n`)
  return good ? 0 : 1
}

const LOOK_EVERY_MS = 20

/** Looks for the sleeps of one tree on this machine, where the server runs, from outside of Remex. */
class Watch {
  readonly #needle: Buffer
  readonly #timer: NodeJS.Timeout
  #firstMs: number | undefined
  #lastMs = 0

  constructor(mark: number) {
    this.#needle = Buffer.from(`sleep\0${mark}\0`)
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS)
  }

  /** How long there was a process of the tree, and how many there are still. */
  end(): { readonly aliveS: number; readonly left: number } {
    clearInterval(this.#timer)
    const left = this.#look()
    return { aliveS: (this.#lastMs - (this.#firstMs ?? this.#lastMs)) / 1000, left }
  }

  #look(): number {
    const found = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && this.#isOne(name)).length
    if (found > 0) {
      this.#lastMs = performance.now()
      this.#firstMs ??= this.#lastMs
    }
    return found
  }

  #isOne(pid: string): boolean {
    try {
      return readFileSync(`/proc/${pid}/cmdline`).equals(this.#needle)
    } catch {
      return false
    }
  }
}
