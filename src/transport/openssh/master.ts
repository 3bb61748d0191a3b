import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { RemexError } from '../../core/errors.ts'
import type { HostKey } from '../../core/host-key.ts'
import { weakness } from '../algorithms.ts'
import type { Peer } from '../peer.ts'
import { atMost } from '../timer.ts'
import type { ConnectedMaster } from './connection.ts'
import { lossOf } from './failure.ts'
import { Line } from './mux/line.ts'
import type { WindowTiming } from './mux/window.ts'
import type { Place } from './place.ts'
import type { Reaper } from './reaper.ts'
import { kill, type SshProcess } from './ssh-process.ts'

/** How long the last words of an ssh whose connection broke are waited for. */
const LAST_WORDS_MS = 250

/** How long the server may take to prove its keys after it announced them. */
const PROOF_MS = 5000

/** ssh says that it changes its file of host keys, or that there is nothing to change. Source: OpenSSH clientloop.c. */
const CHANGES = /^(?:debug1: )?(?:Learned new hostkey|Deprecating obsolete hostkey)/
const CHANGES_NOTHING = /^debug1: client_input_hostkeys: no new or deprecated keys/
const GIVES_UP = /^(?:debug1: client_input_hostkeys: |Server failed to confirm)/

/** What a master is made of. */
export interface MasterParts {
  readonly process: SshProcess
  readonly place: Place
  readonly reaper: Reaper
  /** Whether it was told to have the server prove its keys. */
  readonly wantsHostKeys: boolean
}

/** An `ssh` in the background that is logged in, and what is left of its start. */
export class Master implements ConnectedMaster {
  readonly #process: SshProcess
  readonly #place: Place
  readonly #reaper: Reaper
  readonly #wantsHostKeys: boolean
  /** Those to it: as long as one of them is there, the master is. */
  readonly #sockets = new Set<Socket>()
  #pid: number | undefined

  constructor({ process, place, reaper, wantsHostKeys }: MasterParts) {
    this.#process = process
    this.#place = place
    this.#reaper = reaper
    this.#wantsHostKeys = wantsHostKeys
  }

  async openLine(timing: WindowTiming): Promise<Line> {
    const socket = connect(this.#place.path(this.#place.control))
    this.#sockets.add(socket)
    socket.on('error', () => undefined).once('close', () => this.#sockets.delete(socket))
    await once(socket, 'connect')
    const line = await Line.open(socket, timing)
    if (this.#pid === undefined) this.#reaper.watch(line.masterPid)
    this.#pid = line.masterPid
    return line
  }

  async lost(peer: Peer, violation: string | undefined): Promise<RemexError> {
    if (violation === undefined) await atMost(LAST_WORDS_MS, this.#process.silent)
    await this.#process.gather()
    return lossOf(peer, this.#process.transcript, violation)
  }

  end(): void {
    const sockets = [...this.#sockets].filter(({ destroyed }) => !destroyed)
    // Its number may be another's by now, unless it still holds a line of ours.
    if (this.#pid !== undefined && sockets.length > 0) kill(this.#pid, 'SIGTERM')
    for (const socket of sockets) socket.destroy(new Error('the master was ended'))
    if (this.#pid !== undefined) this.#reaper.forget(this.#pid)
    this.#process.end()
    this.#place.removeNow()
  }

  async provenHostKeys(): Promise<readonly HostKey[]> {
    if (!this.#wantsHostKeys) return []
    const { transcript } = this.#process
    const has = (text: RegExp): boolean => transcript.lines.some((line) => text.test(line) && !/: searching /.test(line))
    await transcript.until(() => has(CHANGES) || has(GIVES_UP), PROOF_MS)
    // It says so before it does it.
    const isProved = has(CHANGES) ? await this.#place.isChanged(PROOF_MS) : has(CHANGES_NOTHING)
    transcript.settle()
    if (!isProved) return []
    const keys = await this.#place.keys().catch((): readonly HostKey[] => [])
    return keys.filter(({ blob }) => weakness(blob) === undefined)
  }
}
