import type { Duplex } from 'node:stream'
import { RemexError } from '../../core/errors.ts'
import { fingerprint, type HostKey } from '../../core/host-key.ts'
import type { Identity, UserCertificate } from '../../core/identity.ts'
import { printable } from '../../core/printable.ts'
import type { Secret } from '../../core/secret.ts'
import type { Turnstile } from '../../core/turnstile.ts'
import { hostKeyOrder, isPostQuantum, keyTypeOf, POST_QUANTUM_KEX, weakness } from '../algorithms.ts'
import type { Connection, ConnectionInfo, ConnectTarget, ProvedHostKey } from '../contract.ts'
import { dial } from '../dial.ts'
import { peerError, type Stage } from '../peer.ts'
import { dialFailure } from '../socket-errors.ts'
import { canVouch, type Purpose } from './arguments.ts'
import { MuxConnection } from './connection.ts'
import { acceptedMethods, isUntrusted, startFailure } from './failure.ts'
import { invalidCertificate } from './host-certificate.ts'
import { serveKeys } from './key-agent.ts'
import { Master } from './master.ts'
import { collectKeys, type OfferedKeys } from './offered-keys.ts'
import { awaitQuestion } from './password.ts'
import { Place, type Trust } from './place.ts'
import type { SshProgram } from './program.ts'
import { SshProcess } from './ssh-process.ts'
import { readTranscript } from './certificate-transcript.ts'

/** What all attempts of an engine share. */
export interface AttemptSurroundings {
  readonly env: Pick<NodeJS.ProcessEnv, string>
  readonly turnstile: Turnstile
  readonly program: () => Promise<SshProgram>
}

/** What there is to log in with. Undefined keys: ssh has its own ways. */
interface Login {
  readonly keys: Promise<OfferedKeys> | undefined
  readonly certificates: readonly UserCertificate[]
  readonly password: Secret | undefined
}

const NOBODY: Login = { keys: undefined, certificates: [], password: undefined }

const NOTHING: Trust = { keys: [], fingerprints: [], authorities: [], revoked: [] }

/** What one start of ssh is made with. */
interface Wish {
  readonly purpose: Purpose
  readonly trust: Trust
  readonly login: Login
  /** Types of host keys not to ask for. */
  readonly refusedTypes?: readonly string[]
}

/** A start of ssh whose first process has ended. */
interface Ended {
  readonly wish: Wish
  readonly process: SshProcess
  readonly place: Place
  readonly offered: OfferedKeys | undefined
  /** 0: it is logged in and in the background. */
  readonly status: number | null
}

/** One attempt at a host. It takes more than one start of `ssh` where the host's key is not known yet. */
export class Attempt {
  readonly #target: Omit<ConnectTarget, 'identities'>
  readonly #around: AttemptSurroundings
  /** What is to be undone when the attempt is given up. */
  #undo: (() => void | Promise<void>)[] = []
  #isOver = false
  #process: SshProcess | undefined
  /** The way for the first start. */
  #ahead: Promise<Duplex | undefined> | undefined

  constructor(target: Omit<ConnectTarget, 'identities'>, around: AttemptSurroundings) {
    this.#target = target
    this.#around = around
  }

  /** How far it has come. */
  get stage(): Stage {
    return { peer: this.#target, phase: this.#process?.transcript.phase ?? 'dial' }
  }

  /** Nobody waits for it any more. */
  async abandon(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#undo.splice(0).map(async (undo) => undo()))
  }

  /** Connects and logs in. Rejects as `Engine.connect` does, but for time and cancelling. */
  async connect(identities: readonly Identity[], signal: AbortSignal | undefined): Promise<Connection> {
    // The network is slow, and so is reading keys: all goes on at once.
    const login = this.#loginOf(identities, signal)
    this.#ahead = this.#way()
    this.#ahead.catch(() => undefined)
    try {
      await this.#program()
      return await this.#connected(await this.#up('connect', login))
    } catch (error) {
      // An unusable key is told before an unreachable host.
      await login.keys
      throw error
    }
  }

  /** Rejects as `Engine.loginMethods` does. */
  async loginMethods(): Promise<readonly string[]> {
    await this.#program()
    try {
      const { process } = await this.#up('ask', NOBODY)
      process.end()
      return ['none']
    } catch (error) {
      const accepted = this.#process && acceptedMethods(this.#process.transcript)
      if (accepted === undefined) throw error
      return accepted
    } finally {
      await this.abandon()
    }
  }

  /** One connection for each type of key, because a server shows one at a time. */
  async fetchHostKeys(): Promise<readonly HostKey[]> {
    await this.#program()
    const keys: HostKey[] = []
    try {
      while (keys.length < hostKeyOrder([]).length) keys.push(await this.#learn(keys.map(({ type }) => type)))
    } catch (error) {
      // It has no more of them.
      if (keys.length === 0 || !(error instanceof RemexError && error.code === 'HANDSHAKE_FAILED')) throw error
    } finally {
      await this.abandon()
    }
    return keys
  }

  async #program(): Promise<SshProgram> {
    const program = await this.#around.program()
    if (!this.#target.requirePostQuantum || hasPostQuantum(program)) return program
    const message = `require_post_quantum is set, and the ssh of this machine (OpenSSH ${program.version.join('.')}) has no key exchange that withstands quantum computers`
    throw peerError('HANDSHAKE_FAILED', this.#target, message, { hint: 'Nothing was sent. OpenSSH 9.0 or later has one.' })
  }

  #loginOf(identities: readonly Identity[], signal: AbortSignal | undefined): Login {
    const certificates = identities.flatMap((identity) => (identity.kind === 'password' || !identity.certificate ? [] : [identity.certificate]))
    const isLeftToSsh = identities.length === 0 && this.#target.sshConfig !== undefined
    const { vmId } = this.#target
    const keys = isLeftToSsh ? undefined : collectKeys({ vmId, identities }, signal)
    keys?.catch(() => undefined)
    return { certificates, keys, password: identities.find((identity) => identity.kind === 'password')?.secret }
  }

  /** Starts ssh with what is trusted; where that is not what the host shows, the judge hears what it is. */
  async #up(purpose: Purpose, login: Login): Promise<Ended> {
    const trust = await this.#trust()
    if (trust.keys.length + trust.fingerprints.length + trust.authorities.length > 0) {
      const ended = await this.#run({ purpose, login, trust })
      if (ended.status === 0) return ended
      if (!isUntrusted(ended.process.transcript)) throw this.#failure(ended)
      this.#refuseInvalidCertificate(ended)
    }
    const ended = await this.#run({ purpose, login, trust: { ...NOTHING, keys: [await this.#judged([])] } })
    if (ended.status === 0) return ended
    throw this.#failure(ended)
  }

  /** What ssh is told to trust from the start. */
  async #trust(): Promise<Trust> {
    const { knownHostKeys, knownFingerprints, certAuthorities: authorities, revokedHostKeys: revoked, wantsHostKeys } = this.#target
    const keys = knownHostKeys.filter((key) => this.#isTrusted(key))
    // ssh asks for no further keys where it knows more than the keys of the host.
    if (wantsHostKeys === true && (keys.length > 0 || authorities.length === 0)) return { ...NOTHING, keys }
    const fingerprints = canVouch(await this.#around.program()) ? knownFingerprints : []
    return { keys, fingerprints, authorities, revoked }
  }

  #isTrusted(key: HostKey): boolean {
    try {
      this.#target.verifyHostKey(key)
      return weakness(key.blob) === undefined
    } catch {
      return false
    }
  }

  #refuseInvalidCertificate({ process, place }: Ended): void {
    const verdict = readTranscript(process.transcript.text, place.knownHosts)
    if (verdict.kind === 'invalid') throw invalidCertificate(this.#target.vmId, verdict.reason)
  }

  /**
   * The key that the host shows, when it is trusted. Where only a fingerprint is known, the type of its key is not, and the host may
   * show another of its keys first: so it is asked for its others before it counts as changed.
   */
  async #judged(refusedTypes: readonly string[]): Promise<HostKey> {
    const key = await this.#learn(refusedTypes)
    try {
      this.#target.verifyHostKey(key)
    } catch (error) {
      const mayHaveOthers = this.#target.knownHostKeys.length === 0 && hostKeyOrder([]).some((algorithm) => ![...refusedTypes, key.type].includes(keyTypeOf(algorithm)))
      if (!(error instanceof RemexError && error.code === 'HOST_KEY_CHANGED' && mayHaveOthers)) throw error
      return await this.#judged([...refusedTypes, key.type]).catch((later: unknown) => {
        throw later instanceof RemexError && later.code === 'HANDSHAKE_FAILED' ? error : later
      })
    }
    const reason = weakness(key.blob)
    if (reason !== undefined) throw peerError('HANDSHAKE_FAILED', this.#target, `its host key is not allowed: ${reason}`)
    return key
  }

  /** Lets ssh write down the key that the host shows. Proves nothing. */
  async #learn(refusedTypes: readonly string[]): Promise<HostKey> {
    const ended = await this.#run({ purpose: 'learn', login: NOBODY, trust: NOTHING, refusedTypes })
    const [key] = await ended.place.keys()
    await ended.place.remove()
    if (key === undefined) throw this.#failure(ended)
    return key
  }

  async #run(wish: Wish): Promise<Ended> {
    const { env, turnstile } = this.#around
    const { login: { keys, certificates, password }, trust, purpose } = wish
    const program = await this.#around.program()
    const place = this.#owned(await Place.make(this.#target, trust, certificates), (made) => made.remove())
    const agent = keys && this.#owned(await serveKeys(place.path(place.agent), keys.then(({ list }) => list)), (made) => made.close())
    const asking = password && this.#owned(await awaitQuestion(place.path(place.askpass), password), (made) => made.close())
    const stream = await (this.#ahead ?? this.#way())
    this.#ahead = undefined
    const names = { knownHosts: place.knownHosts, control: place.control, agent: agent && place.agent, voucher: trust.fingerprints.length > 0 ? place.voucher : undefined, certificates: place.certificates }
    const start = { program, target: this.#target, purpose, hasPassword: password !== undefined, isDialled: stream !== undefined, names, knownTypes: trust.keys.map(({ type }) => type), refusedTypes: wish.refusedTypes ?? [] }
    const process = this.#owned(await turnstile.do(() => SshProcess.start(start, { env, asking: asking?.env, place, stream })), (made) => made.end())
    this.#process = process
    if (purpose === 'learn') void process.transcript.until(() => process.transcript.messages.some((line) => LEARNT.test(line)), MOST_LEARNING_MS).then(() => process.end())
    // Keys that cannot be used end it at once.
    const status = await Promise.race([process.left, ...(keys ? [keys.then(() => process.left)] : [])])
    const offered = await keys
    await agent?.close()
    await asking?.close()
    return { wish, process, place, offered, status }
  }

  /** We dial wherever we can: ssh does not switch Nagle's algorithm off before it has logged in, which costs two waits of 40 ms. */
  async #way(): Promise<Duplex | undefined> {
    const { open: through, sshConfig, address, port } = this.#target
    if (!through && sshConfig?.isProxied === true) return undefined
    const { stream, open } = dial({ address, port, through: await through?.() })
    // For ssh to read, to the first byte.
    stream.pause()
    stream.on('error', () => undefined)
    this.#owned(stream, (made) => void made.destroy())
    await open.catch((error: unknown) => { throw dialFailure(this.#target, error) })
    return stream
  }

  /** What is made when nobody waits any more goes at once. */
  #owned<T>(made: T, undo: (made: T) => void | Promise<void>): T {
    this.#undo.push(() => undo(made))
    if (!this.#isOver) return made
    void this.abandon()
    throw peerError('CANCELLED', this.#target, 'nobody waits for it any more')
  }

  async #connected({ process, place, wish }: Ended): Promise<Connection> {
    const info = this.#info(process, wish.trust)
    const master = this.#owned(new Master(process, place), (made) => made.end())
    const connection = this.#owned(await MuxConnection.over({ info, peer: this.#target, master }), (made) => made.close())
    if (this.#target.wantsHostKeys !== true) process.transcript.settle()
    this.#undo = []
    return connection
  }

  #info({ transcript }: SshProcess, trust: Trust): ConnectionInfo {
    const { negotiated, hostKey: shown, serverSoftware } = transcript
    const hostKey = shown && provedBy(shown, trust)
    if (!negotiated || !hostKey) throw peerError('HANDSHAKE_FAILED', this.#target, 'ssh did not say how the host proved itself', { hint: 'Please report it, with what ssh -V says.' })
    const { engineReason } = this.#target
    const postQuantum = isPostQuantum(negotiated.kex) ? 'used' : 'none'
    return { engine: 'openssh', engineReason, hostKey, ...negotiated, postQuantum, serverVersion: `SSH-2.0-${serverSoftware}` }
  }

  #failure({ process: { transcript }, wish: { login }, offered }: Ended): RemexError {
    const { login: name, requirePostQuantum, sshConfig } = this.#target
    const certificates = login.certificates.map(({ label, type }) => `${printable(label)} (${type})`)
    const tried = [...certificates, ...(offered?.list.map(({ label }) => label) ?? []), ...(login.password ? ['password'] : []), ...(sshConfig ? ['what ssh_config gives'] : [])]
    return startFailure({ peer: this.#target, login: name, transcript, requirePostQuantum, hasPassword: login.password !== undefined, tried, notes: offered?.notes ?? [] })
  }
}

/** Source: OpenSSH sshconnect.c, check_host_key. */
const LEARNT = /^Warning: Permanently added /
/** The attempt's own limit comes first, where it has one. */
const MOST_LEARNING_MS = 60 * 60_000

/** Which of the keys that ssh was told to trust it was. */
function provedBy({ type, fingerprint: shown, authority }: ProvedHostKey, { keys, fingerprints, authorities }: Trust): ProvedHostKey | undefined {
  if (authority !== undefined) return authorities.some(({ blob }) => fingerprint(blob) === authority) ? { type, fingerprint: shown, authority } : undefined
  if (fingerprints.includes(shown)) return { type, fingerprint: shown }
  const key = keys.find(({ blob }) => fingerprint(blob) === shown)
  return key && { type: key.type, fingerprint: shown, blob: key.blob }
}

/** Whether this `ssh` has a key exchange that withstands quantum computers. */
function hasPostQuantum(program: SshProgram): boolean {
  return POST_QUANTUM_KEX.some(program.knows)
}
