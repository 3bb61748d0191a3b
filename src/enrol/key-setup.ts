import { remexError, RemexError } from '../core/errors.ts'
import type { Identity } from '../core/identity.ts'
import type { Secret } from '../core/secret.ts'
import { withKey } from '../keys/authorized-keys.ts'
import type { StoredKey } from '../keys/key-store.ts'
import { editAuthorizedKeys } from './authorized-keys-file.ts'
import { meantOnes, type OfferedKey } from './host-key-offer.ts'
import { isLetIn, nextKey, otherWaysIn, type Subject } from './key-access.ts'

/** Who answers what key set-up cannot know. */
export interface SetupAnswers {
  /** The password of the login, where nothing else opens it. Undefined: there is none. */
  readonly password?: (() => Promise<Secret>) | undefined
  /** Whether to trust the keys of a host for which nobody has vouched. Default: no. */
  readonly trustHostKeys?: ((vmId: string, offered: readonly OfferedKey[]) => Promise<boolean>) | undefined
  /** The fingerprint of the host's key, where it is known. */
  readonly fingerprint?: string | undefined
}

/** What key set-up came to. */
export interface SetupReport {
  readonly vmId: string
  /** Of the key that opens the host now. */
  readonly fingerprint: string
  /** Fingerprints of host keys that are trusted from now on. */
  readonly trusted: readonly string[]
  /** Whether a key was made, and whether it was added to the host. Both false: everything was as it should be. */
  readonly made: boolean
  readonly added: boolean
  /** What opened the host for that: null where nothing had to. */
  readonly by: 'key' | 'password' | null
  /** What had modes on the host that sshd refuses, and was mended. */
  readonly repaired: readonly string[]
}

/**
 * From nothing to access by key: host key, key, authorized_keys, a login that proves it. What works already is left as it is,
 * so it may be repeated; a new key comes into use only once the host has let it in.
 */
export async function setUpKey(subject: Subject, answers: SetupAnswers): Promise<SetupReport> {
  const { trusted, methods } = await provenHost(subject, answers)
  return subject.files.alone(async () => {
    const { host, files, runtime, onStep } = subject
    const current = await files.current()
    if (current && (await isLetIn(subject, current))) {
      onStep(`the key ${current.fingerprint} opens it`)
      return { vmId: host.id, fingerprint: current.fingerprint, trusted, made: false, added: false, by: null, repaired: [] }
    }
    const key = current ?? (await nextKey(subject))
    const { by, repaired } = await deploy(subject, key, { answers, methods })
    if (!(await isLetIn(subject, key))) throw refusedAnyway(subject, key)
    onStep('a login with the key alone works')
    if (!current) await files.install(new Date(runtime.clock.now()))
    return { vmId: host.id, fingerprint: key.fingerprint, trusted, made: !current, added: true, by, repaired }
  })
}

/** What the host accepts as proof, once it has proved itself; a key of it that nobody vouched for is enrolled first. */
async function provenHost(subject: Subject, answers: SetupAnswers): Promise<{ readonly trusted: readonly string[]; readonly methods: readonly string[] }> {
  try {
    return { trusted: [], methods: await methodsOf(subject) }
  } catch (error) {
    if (!(error instanceof RemexError && error.code === 'HOST_KEY_UNKNOWN')) throw error
    const trusted = await trustHost(subject, answers, error)
    return { trusted, methods: await methodsOf(subject) }
  }
}

function methodsOf({ runtime, host, signal }: Subject): Promise<readonly string[]> {
  return runtime.dispatcher.step(host.id, { operation: 'host_inspect', signal }, (on) => on.loginMethods())
}

async function trustHost({ runtime: { trust }, host, onStep, signal }: Subject, { fingerprint, trustHostKeys }: SetupAnswers, unknown: RemexError): Promise<readonly string[]> {
  const told = (fingerprints: readonly string[]): readonly string[] => {
    onStep(`trusts the host key ${fingerprints.join(', ')}`)
    return fingerprints
  }
  if (fingerprint !== undefined) {
    await trust.trust(host.id, { fingerprint }, signal)
    return told([fingerprint])
  }
  const offers = meantOnes(await trust.offered(host.id, { signal }))
  const refused = offers.find((offer) => offer.refusal)?.refusal
  if (refused) throw refused
  const isVouched = offers.every((offer) => offer.vouchedBy !== null)
  if (!isVouched && !(await trustHostKeys?.(host.id, offers))) throw unknown
  await trust.trust(host.id, { offers }, signal)
  return told(offers.map((offer) => offer.fingerprint))
}

interface Deployed {
  readonly by: 'key' | 'password'
  readonly repaired: readonly string[]
}

/** Adds the key to the host, by an access that works already, else by password. */
async function deploy(subject: Subject, key: StoredKey, { answers, methods }: { answers: SetupAnswers; methods: readonly string[] }): Promise<Deployed> {
  const ways = methods.includes('publickey') ? await otherWaysIn(subject) : []
  const byKey = ways.length > 0 ? await unlessRefused(addKey(subject, key, ways)) : undefined
  if (byKey) return { by: 'key', ...byKey }
  const takesPasswords = methods.includes('password') || methods.includes('keyboard-interactive')
  const password = takesPasswords ? await answers.password?.() : undefined
  if (!password) throw noWayIn(subject, methods, takesPasswords)
  return { by: 'password', ...(await addKey(subject, key, [{ kind: 'password', secret: password }])) }
}

/** Undefined where none of the keys opened the host: a password may. */
async function unlessRefused<T>(adding: Promise<T>): Promise<T | undefined> {
  try {
    return await adding
  } catch (error) {
    if (error instanceof RemexError && ['AUTH_FAILED', 'KEY_UNUSABLE'].includes(error.code)) return undefined
    throw error
  }
}

async function addKey({ runtime, host, signal, onStep }: Subject, { key, fingerprint: userKey, comment }: StoredKey, identities: readonly Identity[]): Promise<{ readonly repaired: readonly string[] }> {
  const { repaired, changed } = await runtime.dispatcher.step(host.id, { operation: 'key_add', userKey, identities, signal }, (on) =>
    editAuthorizedKeys(on, (text) => ({ text: withKey(text, { key, options: '', comment }), result: undefined })),
  )
  onStep(changed ? 'added the key to authorized_keys' : 'the key was in authorized_keys already')
  for (const what of repaired) onStep(`mended the mode of ${what}: others could write there, and sshd refuses keys then`)
  return { repaired }
}

function noWayIn({ host: { id: vmId, login } }: Subject, methods: readonly string[], takesPasswords: boolean): RemexError {
  const accepted = methods.length === 0 ? 'nothing' : methods.slice(0, 10).join(', ')
  const message = `${vmId}: no key opens the login ${login} yet, and the host accepts ${accepted}`
  const hint = takesPasswords
    ? 'The password is asked for on a terminal; without one: --password-stdin. Or load a key that opens it into the ssh-agent (ssh-add).'
    : 'Load a key that opens it into the ssh-agent (ssh-add), or allow PasswordAuthentication on the host for the time being.'
  return remexError('AUTH_FAILED', message, { vmId, hint })
}

function refusedAnyway({ host: { id: vmId } }: Subject, { fingerprint }: StoredKey): RemexError {
  return remexError('AUTH_FAILED', `${vmId} has the key ${fingerprint} in ~/.ssh/authorized_keys and refuses it`, {
    vmId,
    hint: 'What worked before still works, and the key is kept for the next try. On the host see AuthorizedKeysFile, PubkeyAuthentication and AllowUsers in sshd_config, and the log of sshd.',
  })
}
