import type { AgentAuthMethod, BaseAgent, KeyboardInteractiveAuthMethod, ParsedKey, PasswordAuthMethod, PublicKeyAuthMethod } from 'ssh2'
import type { Agent, Identity, Password, PrivateKey } from '../../core/identity.ts'
import { printable } from '../../core/printable.ts'
import type { Secret } from '../../core/secret.ts'
import { signatureAlgorithms, weakness } from '../algorithms.ts'
import type { ConnectTarget } from '../contract.ts'
import { agentKeyLabel, agentKeyNotes, agentUnusableNote, noKey, nothingToOffer, tooManyNote } from '../key-messages.ts'
import { listAgentKeys, signWithAgent } from './agent.ts'
import type { Ssh2 } from './load.ts'
import { parsePrivateKey } from './private-key.ts'

/** sshd ends the connection at its sixth failure (MaxAuthTries), so no more are tried. */
export const MAX_OFFERS = 6

/** What a server may accept, by its SSH name. Source: RFC 4252 section 5, RFC 4256. */
export type Proof = 'publickey' | 'password' | 'keyboard-interactive'

/** One key with one signature algorithm, or a password, ready to be offered. */
export interface Offer {
  /** For messages: `id_ed25519_vm01 (ssh-ed25519)`. */
  readonly label: string
  readonly proof: Proof
  readonly method: PublicKeyAuthMethod | AgentAuthMethod | PasswordAuthMethod | KeyboardInteractiveAuthMethod
}

/** What there is to log in with. */
export interface Offers {
  /** In the order to try, at most {@link MAX_OFFERS}. */
  readonly list: readonly Offer[]
  /** What could not be offered, and why; for the message when the login fails. */
  readonly notes: readonly string[]
}

type Login = Pick<ConnectTarget, 'vmId' | 'login' | 'identities'>

/** A key that may sign: where it is, and what it is called. */
interface Candidate {
  readonly label: string
  readonly key: ParsedKey
  /** Makes a way to log in with this signature algorithm. */
  readonly method: (algorithm: string) => PublicKeyAuthMethod | AgentAuthMethod
}

/**
 * Makes the offers out of a target's identities, in their order. RSA keys are offered with `rsa-sha2-256` in their turn
 * and with `rsa-sha2-512` when all else failed.
 * Throws `KEY_NOT_FOUND` without identities, and `KEY_UNUSABLE` for a key file that cannot be used (format, passphrase,
 * size) or when nothing at all can be offered, as with an agent that does not answer.
 */
export async function prepareOffers(ssh2: Ssh2, target: Login): Promise<Offers> {
  const { vmId, identities } = target
  if (identities.length === 0) throw noKey(vmId)
  const candidates: Candidate[] = []
  const notes: string[] = []
  const passwords = identities.filter((identity) => identity.kind === 'password').flatMap((password) => passwordOffers(target.login, password))
  for (const identity of identities) {
    if (identity.kind !== 'password') candidates.push(...(await candidatesOf(ssh2, target, { identity, notes })))
  }
  const keys = inOrder(withoutDoubles(candidates))
  if (keys.length + passwords.length === 0) throw nothingToOffer(vmId, notes)
  // A password is one try, whichever way the server asks for it.
  const room = MAX_OFFERS - Math.min(1, passwords.length)
  if (keys.length > room) notes.push(tooManyNote(room, keys.length))
  return { list: [...keys.slice(0, room), ...passwords], notes }
}

/** The same password in the two ways in which a server may ask for it. */
function passwordOffers(username: string, { secret }: Password): Offer[] {
  return [
    { label: 'password', proof: 'password', method: { type: 'password', username, password: secret.reveal() } },
    { label: 'password (keyboard-interactive)', proof: 'keyboard-interactive', method: { type: 'keyboard-interactive', username, prompt: answerOnce(secret) } },
  ]
}

/** The password goes to the first question that hides its answer, once: a second one is not about it, or says that it was wrong. */
function answerOnce(secret: Secret): KeyboardInteractiveAuthMethod['prompt'] {
  let isGiven = false
  return (...[, , , prompts, finish]) => {
    const isAsked = !isGiven && prompts.length === 1 && prompts[0]?.echo !== true
    isGiven ||= isAsked
    finish(isAsked ? [secret.reveal()] : prompts.map(() => ''))
  }
}

async function candidatesOf(ssh2: Ssh2, target: Login, from: { identity: Exclude<Identity, Password>; notes: string[] }): Promise<Candidate[]> {
  const { identity, notes } = from
  if (identity.kind === 'key') return [keyCandidate(ssh2, target, identity)]
  try {
    const keys = await listAgentKeys(ssh2, identity.socketPath)
    return agentCandidates(ssh2, target, { notes, keys: wantedOf(keys, identity), socketPath: identity.socketPath })
  } catch (error) {
    notes.push(agentUnusableNote(identity.socketPath, error))
    return []
  }
}

function keyCandidate(ssh2: Ssh2, { vmId, login }: Login, identity: PrivateKey): Candidate {
  const key = parsePrivateKey(ssh2, vmId, identity)
  const method = (algorithm: string): PublicKeyAuthMethod => ({ type: 'publickey', username: login, key: signingWith(key, algorithm) })
  return { label: printable(identity.label), key, method }
}

function wantedOf(keys: readonly ParsedKey[], { only }: Agent): readonly ParsedKey[] {
  return only === undefined ? keys : keys.filter((key) => key.getPublicSSH().equals(only))
}

interface AgentListing {
  readonly socketPath: string
  readonly keys: readonly ParsedKey[]
  readonly notes: string[]
}

function agentCandidates(ssh2: Ssh2, { login }: Login, { socketPath, keys, notes }: AgentListing): Candidate[] {
  const usable = keys.filter((key) => weakness(key.getPublicSSH()) === undefined)
  notes.push(...agentKeyNotes({ refused: keys.length - usable.length, usable: usable.length }))
  return usable.map((key) => ({
    label: agentKeyLabel(key.comment),
    key,
    method: (algorithm) => ({ type: 'agent', username: login, agent: oneKeyAgent(ssh2, { socketPath, key, algorithm }) }),
  }))
}

/** An agent in ssh2's eyes that has one key, so that every key is an offer of its own. */
function oneKeyAgent(ssh2: Ssh2, from: { socketPath: string; key: ParsedKey; algorithm: string }): BaseAgent {
  const offered = signingWith(from.key, from.algorithm)
  const agent = new ssh2.OpenSSHAgent(from.socketPath)
  agent.getIdentities = (done) => done(undefined, [offered])
  agent.sign = signWithAgent(ssh2, from)
  return agent
}

/**
 * The same key, naming the signature algorithm as its type. ssh2 would choose for `ssh-rsa` by what the server announces,
 * and falls back to SHA-1 where it announces nothing (client.js, getKeyAlgos); from a key of any other type it takes
 * the type as the algorithm, so a SHA-1 signature cannot come about.
 */
function signingWith(key: ParsedKey, algorithm: string): ParsedKey {
  if (key.type === algorithm) return key
  const hash = algorithm === 'rsa-sha2-512' ? 'sha512' : 'sha256'
  return new Proxy(key, {
    get(target, name) {
      if (name === 'type') return algorithm
      if (name === 'sign') return (data: Buffer | string) => target.sign(data, hash)
      const value: unknown = Reflect.get(target, name)
      return value
    },
  })
}

function withoutDoubles(candidates: readonly Candidate[]): Candidate[] {
  const seen = new Map<string, Candidate>()
  for (const candidate of candidates) {
    const blob = candidate.key.getPublicSSH().toString('base64')
    if (!seen.has(blob)) seen.set(blob, candidate)
  }
  return [...seen.values()]
}

/** First every key with its best algorithm, then the second choices. */
function inOrder(candidates: readonly Candidate[]): Offer[] {
  return [0, 1].flatMap((choice) => candidates.flatMap(({ label, key, method }): Offer[] => {
    const algorithm = signatureAlgorithms(key.type)[choice]
    return algorithm === undefined ? [] : [{ label: `${label} (${algorithm})`, proof: 'publickey', method: method(algorithm) }]
  }))
}
