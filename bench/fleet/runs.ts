import { machineCpuMs } from '../lib/cpu-time.ts'
import { wholeProcess, type ProcessFacts } from '../lib/whole-process.ts'
import type { Squad } from './fleet.ts'
import { ANSWER, type Peer } from './peers.ts'

/** What one run of a peer over its hosts took. */
export interface Reading {
  readonly wallMs: number
  /** Of the client: its process and all that it started and waited for. */
  readonly clientCpuMs: number
  /** Of the whole machine meanwhile: the client, the servers, and whoever else is at work. */
  readonly machineCpuMs: number
}

/** The runs that were made. A run is made once, and read by several rows: one about its time, others about its processor time. */
export class Runs {
  readonly #made = new Map<string, Promise<Reading>>()
  readonly #prepared = new Map<string, Promise<void>>()

  /** What the run with this number took. Rejects where it failed or a host did not answer. */
  reading(peer: Peer, squad: Squad, index: number): Promise<Reading> {
    const key = `${peer.name} ${squad.count} ${index}`
    const before = this.#made.get(key) ?? this.#make(peer, squad)
    this.#made.set(key, before)
    return before
  }

  /** The most memory that the peer and all that it starts had at one time, in bytes. A run of its own: looking costs time. */
  async peakBytes(peer: Peer, squad: Squad): Promise<number> {
    await this.#prepare(peer, squad)
    return (await answered(peer, squad, { watchMemory: 'with children' })).peakRssBytes ?? Number.NaN
  }

  async #make(peer: Peer, squad: Squad): Promise<Reading> {
    await this.#prepare(peer, squad)
    const before = machineCpuMs()
    const { wallMs, cpuMs } = await answered(peer, squad, { measureCpu: true })
    return { wallMs, clientCpuMs: cpuMs ?? Number.NaN, machineCpuMs: machineCpuMs() - before }
  }

  /** Whoever stays connected connects now. */
  #prepare(peer: Peer, squad: Squad): Promise<void> {
    const key = `${peer.name} ${squad.count}`
    const before = this.#prepared.get(key) ?? (peer.staysConnected ? answered(peer, squad, {}).then(() => undefined) : Promise.resolve())
    this.#prepared.set(key, before)
    return before
  }
}

async function answered(peer: Peer, squad: Squad, how: { measureCpu?: boolean; watchMemory?: 'with children' }): Promise<ProcessFacts> {
  const call = peer.call(squad)
  const facts = await wholeProcess({ ...call, ...how, keepStdout: true }).catch((error: unknown) => {
    // The reason may stand in the page, where the call with its temporary paths says nothing.
    throw new Error(error instanceof Error ? error.message.replace(`${call.argv.join(' ')} `, '') : String(error), { cause: error })
  })
  const answers = facts.stdout.split(ANSWER).length - 1
  if (answers !== squad.count) throw new Error(`${answers} of ${squad.count} hosts answered ${peer.name}`)
  return facts
}
