import type { Duplex } from 'node:stream'
import type { Algorithms, Client, ConnectConfig, NegotiatedAlgorithms } from 'ssh2'
import { asRemexError, type RemexError } from '../../core/errors.ts'
import { fingerprint, hostKeyFromBlob, type HostKey } from '../../core/host-key.ts'
import type { Turnstile } from '../../core/turnstile.ts'
import { ALGORITHMS, isPostQuantum, needsStrictKex, STRICT_KEX, weakness, type HostKeyAlgorithm } from '../algorithms.ts'
import type { ConnectionInfo } from '../contract.ts'
import { NOBODY } from '../nobody.ts'
import { openToTruncation, peerError, type Peer, type Phase } from '../peer.ts'
import { timerMs } from '../timer.ts'
import { connectError, disconnectText, isTooManyAttempts, type Standing } from './classify.ts'
import { sayGoodbye } from './goodbye.ts'
import { ignoreHostKeys } from './internals.ts'
import type { Ssh2 } from './load.ts'
import type { Login } from './login.ts'
import { paced } from './paced.ts'
import { Transcript } from './transcript.ts'

/** What a handshake needs. */
export interface HandshakePlan {
  readonly ssh2: Ssh2
  readonly peer: Peer
  /** Shared by all handshakes. */
  readonly turnstile: Turnstile
  /** Open, and not read yet. */
  readonly stream: Duplex
  readonly hostKeyAlgorithms: readonly HostKeyAlgorithm[]
  /** Throws for a key that is not trusted. */
  readonly verifyHostKey: (key: HostKey) => void
  /** Undefined: only the host proves itself, and then we leave. */
  readonly login?: { readonly name: string; readonly attempts: Login }
  readonly keepaliveIntervalMs: number
  /** Whether the host is to prove its other keys, too. */
  readonly wantsHostKeys: boolean
}

/** A handshake that came to its end. */
export interface Shaken {
  readonly client: Client
  readonly info: Omit<ConnectionInfo, 'engineReason'>
  readonly hostKey: HostKey
  readonly transcript: Transcript
}

/** One SSH handshake over an open stream: key exchange, host key, and login where there is one. */
export class Handshake implements Standing {
  readonly peer: Peer
  readonly transcript = new Transcript()
  readonly #plan: HandshakePlan
  readonly #client: Client
  #isExchanged = false
  #unpace: () => void = () => undefined
  #hostKey: HostKey | undefined
  #refusal: RemexError | undefined
  #resolve: (shaken: Shaken) => void = () => undefined
  #reject: (error: RemexError) => void = () => undefined

  constructor(plan: HandshakePlan) {
    this.#plan = plan
    this.peer = plan.peer
    this.#client = new plan.ssh2.Client()
  }

  /** How far it has come. */
  get phase(): Phase {
    if (this.#isExchanged) return 'login'
    return /^SSH-(2\.0|1\.99)-/.test(this.transcript.identification ?? '') ? 'handshake' : 'identification'
  }

  /** Runs it. Rejects with a `RemexError`; the stream is destroyed then. Call it once. */
  run(): Promise<Shaken> {
    const { stream } = this.#plan
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
      this.#listen()
      // Paused, so that nothing is lost before everybody listens; ssh2 lets it flow.
      stream.pause()
      stream.on('data', this.#record)
      this.#unpace = paced(stream, this.#plan.turnstile)
      this.#connect()
    })
  }

  #connect(): void {
    try {
      this.#client.connect(this.#config())
      if (!this.#plan.wantsHostKeys) ignoreHostKeys(this.#client)
    } catch (error) {
      // ssh2 throws for what it cannot do here, as for an algorithm that this build of Node leaves out.
      this.#fail(connectError(this, error))
    }
  }

  readonly #record = (chunk: Buffer): void => this.transcript.add(chunk)

  /** All of it is said: ssh2 leaves keepalive off, takes any host key without a verifier, and offers SHA-1. */
  #config(): ConnectConfig {
    const { stream, hostKeyAlgorithms, login, keepaliveIntervalMs } = this.#plan
    return {
      sock: stream,
      username: login?.name ?? NOBODY,
      hostVerifier: this.#verify,
      algorithms: offeredAlgorithms(hostKeyAlgorithms),
      authHandler: login?.attempts.next ?? (() => false),
      keepaliveInterval: timerMs(keepaliveIntervalMs),
      // Who is dead is judged in keepalive.ts; ssh2 only asks.
      keepaliveCountMax: Number.MAX_SAFE_INTEGER,
      // The time limit is the engine's, and covers more.
      readyTimeout: 0,
      agentForward: false,
      tryKeyboard: false,
    }
  }

  #listen(): void {
    this.#client.on('handshake', (negotiated) => this.#onExchanged(negotiated))
    this.#client.on('error', (error) => this.#onError(error))
    this.#client.on('close', () => this.#fail(connectError(this, undefined)))
    this.#client.on('end', () => this.#plan.stream.destroy())
  }

  /** Called again at every later key exchange: the key must stay what it was. */
  readonly #verify = (blob: Buffer): boolean => {
    if (this.#hostKey !== undefined) return this.#hostKey.blob.equals(blob)
    // A copy: ssh2 gives a part of its receive buffer.
    const key = hostKeyFromBlob(Buffer.from(blob))
    this.#refusal = key === undefined ? peerError('HANDSHAKE_FAILED', this.peer, 'its host key cannot be read') : this.#judge(key)
    if (this.#refusal === undefined) this.#hostKey = key
    return this.#refusal === undefined
  }

  #judge(key: HostKey): RemexError | undefined {
    try {
      this.#plan.verifyHostKey(key)
    } catch (error) {
      return asRemexError(error)
    }
    const reason = weakness(key.blob)
    return reason === undefined ? undefined : peerError('HANDSHAKE_FAILED', this.peer, `its host key is not allowed: ${reason}`)
  }

  #onExchanged(negotiated: NegotiatedAlgorithms): void {
    if (this.#isExchanged || this.#hostKey === undefined) return
    this.#isExchanged = true
    this.transcript.finish()
    this.#plan.stream.off('data', this.#record)
    if (isOpenToTruncation(negotiated, this.transcript)) {
      return this.#fail(openToTruncation(this.peer))
    }
    const info = connectionInfo(negotiated, this.#hostKey, this.transcript)
    const shaken = { client: this.#client, info, hostKey: this.#hostKey, transcript: this.transcript }
    if (this.#plan.login === undefined) return this.#leave(shaken)
    this.#client.once('ready', () => {
      this.#unpace()
      this.#resolve(shaken)
    })
  }

  /** The host has proved itself; nothing more is wanted of it. */
  #leave(shaken: Shaken): void {
    this.#resolve(shaken)
    sayGoodbye(this.#client, this.#plan.stream)
  }

  #onError(error: Error & { level?: string }): void {
    const attempts = this.#plan.login?.attempts
    const isLogin = error.level === 'client-authentication' || error.level === 'agent'
    if (isLogin && attempts !== undefined) {
      if (!attempts.isExhausted) return attempts.note(error)
      return this.#fail(attempts.failure(undefined))
    }
    if (this.#refusal !== undefined) return this.#fail(this.#refusal)
    const isRefused = this.phase === 'login' && (isTooManyAttempts(error) || disconnectText(error) !== undefined)
    this.#fail(isRefused && attempts !== undefined ? attempts.failure(error) : connectError(this, error))
  }

  /** The first cause wins: after `run` has settled this only makes sure that the stream is gone. */
  #fail(error: RemexError): void {
    this.#reject(error)
    this.#plan.stream.destroy()
  }
}

function offeredAlgorithms(hostKey: readonly HostKeyAlgorithm[]): Algorithms {
  return {
    kex: [...ALGORITHMS.kex],
    serverHostKey: [...hostKey],
    cipher: [...ALGORITHMS.cipher],
    hmac: [...ALGORITHMS.mac],
    compress: ['none'],
  }
}

/** ssh2 does strict key exchange wherever the server offers it. Without it this one cipher is not safe. */
function isOpenToTruncation({ cs, sc }: NegotiatedAlgorithms, transcript: Transcript): boolean {
  const isStrict = transcript.offer?.kex.includes(STRICT_KEX) === true
  return !isStrict && [cs.cipher, sc.cipher].some(needsStrictKex)
}

function connectionInfo({ kex, cs }: NegotiatedAlgorithms, { type, blob }: HostKey, { offer, identification }: Transcript): Shaken['info'] {
  const postQuantum = offer?.kex.some(isPostQuantum) === true ? 'offered' : 'none'
  return { engine: 'ssh2', hostKey: { type, fingerprint: fingerprint(blob), blob }, kex, cipher: cs.cipher, mac: cs.mac, postQuantum, serverVersion: identification ?? '' }
}
