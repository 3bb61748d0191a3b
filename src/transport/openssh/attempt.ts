import { RemexError } from '../../core/errors.ts'
import { fingerprint, type HostKey } from '../../core/host-key.ts'
import type { Identity } from '../../core/identity.ts'
import { hostKeyOrder, isPostQuantum, keyTypeOf, needsStrictKex, POST_QUANTUM_KEX, weakness } from '../algorithms.ts'
import type { Connection, ConnectionInfo, ConnectTarget, ProvedHostKey } from '../contract.ts'
import { openToTruncation, peerError, type Stage } from '../peer.ts'
import { canVouch, type Purpose } from './arguments.ts'
import { readTranscript } from './certificate-transcript.ts'
import { MuxConnection } from './connection.ts'
import { acceptedMethods, isUntrusted, masterFailure } from './failure.ts'
import { foreignCertificate, invalidCertificate } from './host-certificate.ts'
import { Master } from './master.ts'
import { collectKeys } from './offered-keys.ts'
import type { Trust } from './place.ts'
import type { SshProgram } from './program.ts'
import type { SshProcess } from './ssh-process.ts'
import { Starts, type Ended, type Login, type Surroundings } from './starts.ts'

const NOBODY: Login = { keys: undefined, certificates: [], password: undefined }

const NOTHING: Trust = { keys: [], fingerprints: [], authorities: [], revoked: [] }

/** One attempt at a host. It takes more than one start of `ssh` where the host's key is not known yet. */
export class Attempt {
  readonly #target: Omit<ConnectTarget, 'identities'>
  readonly #around: Surroundings
  readonly #starts: Starts

  constructor(target: Omit<ConnectTarget, 'identities'>, around: Surroundings) {
    this.#target = target
    this.#around = around
    this.#starts = new Starts(target, around)
  }

  /** How far it has come. */
  get stage(): Stage {
    return this.#starts.stage
  }

  /** Nobody waits for it any more. */
  abandon(): Promise<void> {
    return this.#starts.abandon()
  }

  /** Connects and logs in. Rejects as `Engine.connect` does, but for time and cancelling. */
  async connect(identities: readonly Identity[], signal: AbortSignal | undefined): Promise<Connection> {
    // The network is slow, and so is reading keys: all goes on at once.
    const login = this.#loginOf(identities, signal)
    this.#starts.dialAhead()
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
      const accepted = this.#starts.last && acceptedMethods(this.#starts.last.transcript)
      if (accepted === undefined) throw error
      return accepted
    } finally {
      await this.abandon()
    }
  }

  /** One connection for each type of key, because a server shows one at a time. */
  async fetchHostKeys(): Promise<readonly HostKey[]> {
    const program = await this.#program()
    const keys: HostKey[] = []
    try {
      while (canAskBeyond(program, keys.map(({ type }) => type))) keys.push(await this.#learn(keys.map(({ type }) => type)))
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
      const ended = await this.#starts.run({ purpose, login, trust })
      if (ended.status === 0) return ended
      if (!isUntrusted(ended.process.transcript)) throw this.#starts.failure(ended)
      await this.#starts.discard()
      return this.#upByJudge(purpose, login, this.#doubtsOf(ended))
    }
    return this.#upByJudge(purpose, login, undefined)
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

  /** What ssh had against what the host showed, as far as that says more than that its key is not known. */
  #doubtsOf(ended: Ended): RemexError | undefined {
    const { vmId } = this.#target
    const verdict = readTranscript(ended.process.transcript.text, ended.place.knownHosts)
    if (verdict.kind === 'invalid') throw invalidCertificate(vmId, verdict.reason)
    const failure = this.#starts.failure(ended)
    if (failure.code === 'HOST_KEY_REVOKED') return failure
    return verdict.kind === 'untrusted' ? foreignCertificate(vmId, verdict.authority) : undefined
  }

  async #upByJudge(purpose: Purpose, login: Login, doubts: RemexError | undefined): Promise<Ended> {
    const { revokedHostKeys, wantsHostKeys } = this.#target
    const key = await this.#judged([]).catch((error: unknown) => {
      throw error instanceof RemexError && error.code === 'HOST_KEY_UNKNOWN' ? (doubts ?? error) : error
    })
    const ended = await this.#starts.run({ purpose, login, trust: { ...NOTHING, keys: [key], revoked: wantsHostKeys === true ? [] : revokedHostKeys } })
    if (ended.status === 0) return ended
    throw this.#starts.failure(ended)
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
      const mayHaveOthers = this.#target.knownHostKeys.length === 0 && canAskBeyond(await this.#around.program(), [...refusedTypes, key.type])
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
    const ended = await this.#starts.run({ purpose: 'learn', login: NOBODY, trust: NOTHING, refusedTypes })
    const [key] = await ended.place.keys()
    if (key === undefined) throw this.#starts.failure(ended)
    await this.#starts.discard()
    return key
  }

  async #connected({ process, place, wish }: Ended): Promise<Connection> {
    const info = this.#info(process, wish.trust)
    const { wantsHostKeys = false } = this.#target
    const master = this.#starts.owned(new Master({ process, place, reaper: this.#around.reaper, wantsHostKeys }), (made) => made.end())
    const connecting = MuxConnection.over({ info, peer: this.#target, master }).catch((error: unknown) => { throw masterFailure(this.#target, error) })
    const connection = this.#starts.owned(await connecting, (made) => made.close())
    if (!wantsHostKeys) process.settle()
    this.#starts.release()
    return connection
  }

  #info({ transcript }: SshProcess, trust: Trust): ConnectionInfo {
    const { negotiated, hostKey: shown, serverSoftware } = transcript
    const hostKey = shown && provedBy(shown, trust)
    if (!negotiated || !hostKey) throw peerError('HANDSHAKE_FAILED', this.#target, 'ssh did not say how the host proved itself', { hint: 'Please report it, with what ssh -V says.' })
    if (needsStrictKex(negotiated.cipher) && !transcript.isStrict) throw openToTruncation(this.#target)
    const { engineReason } = this.#target
    const postQuantum = isPostQuantum(negotiated.kex) ? 'used' : 'none'
    return { engine: 'openssh', engineReason, hostKey, ...negotiated, postQuantum, serverVersion: `SSH-2.0-${serverSoftware}` }
  }
}

/** Which of the keys that ssh was told to trust it was. */
function provedBy({ type, fingerprint: shown, authority }: ProvedHostKey, { keys, fingerprints, authorities }: Trust): ProvedHostKey | undefined {
  if (authority !== undefined) return authorities.some(({ blob }) => fingerprint(blob) === authority) ? { type, fingerprint: shown, authority } : undefined
  if (fingerprints.includes(shown)) return { type, fingerprint: shown }
  const key = keys.find(({ blob }) => fingerprint(blob) === shown)
  return key && { type: key.type, fingerprint: shown, blob: key.blob }
}

/** Whether this `ssh` can ask for host keys of other types than these. */
function canAskBeyond({ knows }: SshProgram, types: readonly string[]): boolean {
  return hostKeyOrder([]).some((algorithm) => knows(algorithm) && !types.includes(keyTypeOf(algorithm)))
}

/** Whether this `ssh` has a key exchange that withstands quantum computers. */
function hasPostQuantum(program: SshProgram): boolean {
  return POST_QUANTUM_KEX.some(program.knows)
}
