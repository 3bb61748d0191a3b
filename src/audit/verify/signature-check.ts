import { remexError, type RemexError } from '../../core/errors.ts'
import { isHeadSigned, parseSigned, type WrittenHead } from '../head.ts'
import { parseRecord, type FoundRecord, type Position } from '../line.ts'
import { SIGNING, type Signed, type Verifier } from '../signing.ts'
import type { AuditProblem } from './verdict.ts'

/** What is wrong with a signature. */
interface Wrong {
  readonly problem: AuditProblem
  readonly message: string
}

/** Checks the signatures of one log by one key. */
export class SignatureCheck {
  readonly #find: () => Verifier | undefined
  #verifier: Verifier | undefined
  #signedSeq = 0

  /**
   * Without a verifier nothing may be signed. `find` is asked again when a signature turns up: the log may have been begun, and its
   * public key published, in the meantime.
   */
  constructor(verifier: Verifier | undefined, find: () => Verifier | undefined) {
    this.#verifier = verifier
    this.#find = find
  }

  /** Whose signatures were checked, and the last record that one covers; undefined without a verifier. */
  get signed(): { readonly key: string; readonly seq: number } | undefined {
    return this.#verifier && { key: this.#verifier.key, seq: this.#signedSeq }
  }

  /** Whether the signature in a record of such an event is one of the chain before it. Throws `AUDIT_UNAVAILABLE` where there is no key to tell. */
  record({ event, position }: FoundRecord, last: Position, line: Buffer): Wrong | undefined {
    if (event === undefined || !SIGNING.has(event)) return undefined
    const record = parseRecord(line)
    const signed = record && parseSigned(record)
    if (!signed) return { problem: 'altered', message: `record ${position.seq} (${event}) is not signed: it was written without the key` }
    const verifier = this.#known()
    const isRight = signed.key === verifier.key && verifier.isSigned('chain', last, signed.signature)
    if (!isRight) return this.#wrong(`record ${position.seq}`, signed, `the records behind ${this.#signedSeq} were altered, and their hashes computed anew`)
    this.#signedSeq = last.seq
    return undefined
  }

  /** Whether head.json is signed; asked before the log is read. Throws as {@link record}. */
  head(head: WrittenHead): Wrong | undefined {
    // A head of no record proves nothing: whoever begins a log writes it, and then publishes the key.
    if (!this.#verifier && (!head.signed || head.seq === 0)) return undefined
    const verifier = this.#known()
    if (isHeadSigned(head, verifier)) return undefined
    if (!head.signed) return { problem: 'altered', message: `head.json is not signed: it was written without the key ${verifier.key}` }
    return this.#wrong('head.json', head.signed, 'it was altered')
  }

  /** The head, which is signed, was found in its place: all up to it is proven. */
  reachedHead({ seq }: Position): void {
    if (this.#verifier) this.#signedSeq = Math.max(this.#signedSeq, seq)
  }

  #wrong(what: string, { key }: Signed, otherwise: string): Wrong {
    const ours = this.#known().key
    if (key !== ours) return { problem: 'other_key', message: `${what} is signed by another key, ${shownKey(key)}, and not by ${ours}` }
    return { problem: 'altered', message: `${what} has a signature that is not of the key ${ours}: ${otherwise}` }
  }

  #known(): Verifier {
    this.#verifier ??= this.#find()
    if (this.#verifier) return this.#verifier
    throw noKey()
  }
}

/** Out of a file: only what could be a fingerprint is shown. */
const shownKey = (key: string): string => (/^SHA256:[A-Za-z0-9+/]{1,64}$/.test(key) ? key : 'of no name')

function noKey(): RemexError {
  return remexError('AUDIT_UNAVAILABLE', 'the audit log is signed, and signing.pub is not there to check it by', {
    hint: 'Name the public key: remex audit verify --public-key <file>',
  })
}
