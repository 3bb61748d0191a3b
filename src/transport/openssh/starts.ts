import type { Duplex } from 'node:stream'
import type { RemexError } from '../../core/errors.ts'
import type { UserCertificate } from '../../core/identity.ts'
import { printable } from '../../core/printable.ts'
import type { Secret } from '../../core/secret.ts'
import type { Turnstile } from '../../core/turnstile.ts'
import type { ConnectTarget } from '../contract.ts'
import { dial } from '../dial.ts'
import { peerError, type Stage } from '../peer.ts'
import { dialFailure } from '../socket-errors.ts'
import { hasJudge, type Purpose } from './arguments.ts'
import { startFailure } from './failure.ts'
import { serveKeys } from './key-agent.ts'
import type { OfferedKeys } from './offered-keys.ts'
import { awaitQuestion } from './password.ts'
import { Place, type Trust } from './place.ts'
import type { SshProgram } from './program.ts'
import type { Reaper } from './reaper.ts'
import { SshProcess } from './ssh-process.ts'

/** What all starts of an engine share. */
export interface Surroundings {
  readonly env: Pick<NodeJS.ProcessEnv, string>
  readonly turnstile: Turnstile
  readonly program: () => Promise<SshProgram>
  readonly reaper: Reaper
}

/** What there is to log in with. Undefined keys: ssh has its own ways. */
export interface Login {
  readonly keys: Promise<OfferedKeys> | undefined
  readonly certificates: readonly UserCertificate[]
  readonly password: Secret | undefined
}

/** What one start of ssh is made with. */
export interface Wish {
  readonly purpose: Purpose
  readonly trust: Trust
  readonly login: Login
  /** Types of host keys not to ask for. */
  readonly refusedTypes?: readonly string[]
}

/** A start of ssh whose first process has ended. */
export interface Ended {
  readonly wish: Wish
  readonly process: SshProcess
  readonly place: Place
  readonly offered: OfferedKeys | undefined
  /** 0: it is logged in and in the background. */
  readonly status: number | null
}

/** Source: OpenSSH sshconnect.c, check_host_key. */
const LEARNT = /^Warning: Permanently added /

/** The starts of `ssh` of one attempt at a host, one after the other, and all that has to be undone when nobody wants them any more. */
export class Starts {
  readonly #target: Omit<ConnectTarget, 'identities'>
  readonly #around: Surroundings
  #undo: (() => void | Promise<void>)[] = []
  #isOver = false
  #last: SshProcess | undefined
  /** The way for the next start. */
  #ahead: Promise<Duplex | undefined> | undefined

  constructor(target: Omit<ConnectTarget, 'identities'>, around: Surroundings) {
    this.#target = target
    this.#around = around
  }

  /** How far the last has come. */
  get stage(): Stage {
    return { peer: this.#target, phase: this.#last?.transcript.phase ?? 'dial' }
  }

  /** The last that was started. */
  get last(): SshProcess | undefined {
    return this.#last
  }

  /** Nothing is started any more, and what was is undone. Safe to repeat. */
  async abandon(): Promise<void> {
    this.#isOver = true
    await this.discard()
  }

  /** Undoes what is there so far. */
  async discard(): Promise<void> {
    await Promise.all(this.#undo.splice(0).map(async (undo) => undo()))
  }

  /** It is somebody else's now. */
  release(): void {
    this.#undo = []
  }

  /** Notes how to undo what was made; undoes it at once where nobody wants it any more. */
  owned<T>(made: T, undo: (made: T) => void | Promise<void>): T {
    this.#undo.push(() => undo(made))
    if (!this.#isOver) return made
    void this.abandon()
    throw peerError('CANCELLED', this.#target, 'nobody waits for it any more')
  }

  /** Begins to dial, for the next start. */
  dialAhead(): void {
    this.#ahead = this.#way()
    this.#ahead.catch(() => undefined)
  }

  /** Starts ssh, and resolves when its first process has ended. Rejects where it cannot be started, and as the keys and dialling do. */
  async run(wish: Wish): Promise<Ended> {
    const { login: { keys }, purpose } = wish
    const { process, place, close } = await this.#start(wish)
    this.#last = process
    if (purpose === 'learn') process.endWhen((line) => LEARNT.test(line))
    const left = process.left.catch((error: unknown) => { throw dialFailure(this.#target, error) })
    // Keys that cannot be used end it at once.
    const status = await Promise.race([left, ...(keys ? [keys.then(() => left)] : [])])
    const offered = await keys
    await close()
    return { wish, process, place, offered, status }
  }

  async #start({ login: { keys, certificates, password }, trust, purpose, refusedTypes = [] }: Wish): Promise<{ readonly process: SshProcess; readonly place: Place; readonly close: () => Promise<void> }> {
    const { env, turnstile } = this.#around
    const target = this.#target
    const program = await this.#around.program()
    const isLearning = purpose === 'learn' && hasJudge(program)
    const place = this.owned(await Place.make(target, { trust, certificates, isLearning }), (made) => made.remove())
    // OpenSSH 7.4 and 7.5 see no key at all where there is one of a type that they do not know.
    const agent = keys && this.owned(await serveKeys(place.path(place.agent), keys.then(({ list }) => list.filter(({ type }) => program.knows(type)))), (made) => made.close())
    const asking = password && this.owned(await awaitQuestion(place.path(place.askpass), password, env), (made) => made.close())
    const stream = await (this.#ahead ?? this.#way())
    this.#ahead = undefined
    const start = {
      program,
      target,
      purpose,
      hasPassword: password !== undefined,
      isDialled: stream !== undefined,
      names: { ...place.names, agent: agent && place.agent, log: stream ? undefined : place.log },
      takesCertificates: trust.authorities.length > 0,
      knownTypes: trust.keys.map(({ type }) => type),
      refusedTypes,
    }
    const process = this.owned(await turnstile.do(() => SshProcess.start(start, { env, asking: asking?.env, place, stream })), (made) => made.end())
    const close = async (): Promise<void> => {
      await Promise.all([agent?.close(), asking?.close()])
    }
    return { process, place, close }
  }

  /** We dial wherever we can: ssh does not switch Nagle's algorithm off before it has logged in, which costs two waits of 40 ms. */
  async #way(): Promise<Duplex | undefined> {
    const { open: through, sshConfig, address, port } = this.#target
    if (!through && sshConfig?.isProxied === true) return undefined
    const { stream, open } = dial({ address, port, through: await through?.() })
    // For ssh to read, to the first byte.
    stream.pause()
    stream.on('error', () => undefined)
    this.owned(stream, (made) => void made.destroy())
    await open.catch((error: unknown) => { throw dialFailure(this.#target, error) })
    return stream
  }

  /** Why it came to nothing, as far as it is not the host's key. */
  failure({ process: { transcript, others }, wish: { login }, offered }: Ended): RemexError {
    const { login: name, requirePostQuantum, sshConfig } = this.#target
    const certificates = login.certificates.map(({ label, type }) => `${printable(label)} (${type})`)
    const tried = [...certificates, ...(offered?.list.map(({ label }) => label) ?? []), ...(login.password ? ['password'] : []), ...(sshConfig ? ['what ssh_config gives'] : [])]
    const proxySaid = !this.#target.open && sshConfig?.isProxied === true ? others : undefined
    return startFailure({ peer: this.#target, login: name, transcript, proxySaid, requirePostQuantum, hasPassword: login.password !== undefined, hasCertificate: certificates.length > 0, tried, notes: offered?.notes ?? [] })
  }
}
