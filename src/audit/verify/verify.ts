import type { FileHandle } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { errorCode, localFileError } from '../../core/atomic-file.ts'
import { readWhole } from '../../core/bounded-read.ts'
import { RemexError, remexError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import { AnchorCheck } from './anchor.ts'
import { ChainCheck, type LinePlace } from './chain-check.ts'
import { auditFiles, unreadable, type AuditFiles } from '../files.ts'
import { isHeadSigned, readHead, type WrittenHead } from '../head.ts'
import { readLines } from '../line-reader.ts'
import { readLine, type FoundRecord, type Position } from '../line.ts'
import { OutputCheck } from './output-check.ts'
import { Segments, type Segment } from '../segments.ts'
import { SignatureCheck } from './signature-check.ts'
import { verifierByKey, verifierOf, verifierOfPem, type Verifier } from '../signing.ts'
import { StartCheck } from './start-check.ts'
import type { AuditFault, AuditProblem, AuditVerdict } from './verdict.ts'

/** What to verify a log by, besides what lies beside it. */
export interface VerifyOptions {
  /** File with the public key (PEM). Default: `signing.pub` beside the log. With it head.json may be absent. */
  readonly publicKey?: string | undefined
  /** Ends of the log that were handed out earlier. */
  readonly anchors?: readonly Position[] | undefined
}

/**
 * Verifies the log in `directory`: every record's hash, that each follows the one before through all files, that the
 * signatures are of the key, and that the end is the one that was last written. Reads each file once, in bounded memory.
 * Writers may be at work. An empty log, or none, is right. Throws `AUDIT_UNAVAILABLE` for one that cannot be read, and
 * `USAGE` or `LOCAL_NOT_FOUND` for a public key that is none.
 */
export async function verifyAudit(directory: string, options: VerifyOptions = {}): Promise<AuditVerdict> {
  const verifier = options.publicKey === undefined ? verifierOf(auditFiles(directory).publicKey) : await namedVerifier(options.publicKey)
  for (let attempt = 1; ; attempt++) {
    const run = new Verification(directory, { verifier, options, isLast: attempt === MOST_ATTEMPTS })
    const verdict = await run.verdict()
    if (verdict) return verdict
  }
}

/** A log that was begun, or was signed for the first time, while it is read; or whose writer was killed in that moment. */
function laterVerifier({ publicKey, signingKey }: AuditFiles): Verifier | undefined {
  return verifierOf(publicKey) ?? verifierByKey(signingKey)
}

/** Retention may remove a file that was about to be read; what is gone a third time is gone in another way. */
const MOST_ATTEMPTS = 3

const PRINT_KEY = 'Print it where the log is written: remex audit public-key'
/** A larger file holds no key. */
const MOST_KEY_BYTES = 65_536

async function namedVerifier(path: string): Promise<Verifier> {
  const pem = await readWhole(path, MOST_KEY_BYTES).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') throw remexError('LOCAL_NOT_FOUND', `the public key ${printable(path)} is not there`, { hint: PRINT_KEY })
    throw localFileError(error, path)
  })
  if (pem) return verifierOfPem(pem.toString(), path)
  throw remexError('USAGE', `${printable(path)} is not the public key of an audit log: it is larger than 64 KiB`, { hint: PRINT_KEY })
}

interface VerificationParts {
  readonly verifier: Verifier | undefined
  readonly options: VerifyOptions
  /** Whether a file that is gone is what it is: missing. */
  readonly isLast: boolean
}

/** One reading of a log from its first record to its last. */
class Verification {
  readonly #directory: string
  readonly #parts: VerificationParts
  readonly #signatures: SignatureCheck
  readonly #anchors: AnchorCheck
  readonly #outputs: OutputCheck
  readonly #repaired: number[] = []
  #start: StartCheck | undefined
  #fault: AuditFault | undefined
  #place: LinePlace = { file: '', line: 0 }
  #tornBytes = 0

  constructor(directory: string, parts: VerificationParts) {
    this.#directory = directory
    this.#parts = parts
    this.#signatures = new SignatureCheck(parts.verifier, () => laterVerifier(auditFiles(directory)))
    this.#anchors = new AnchorCheck(parts.options.anchors ?? [])
    this.#outputs = new OutputCheck(directory)
  }

  /** Undefined where a file was removed under our hands. */
  async verdict(): Promise<AuditVerdict | undefined> {
    // First the head, then the log: what is written meanwhile makes the log longer, never shorter than its head.
    const head = await settledHead(auditFiles(this.#directory).head, this.#parts.verifier)
    const headFault = head && this.#signatures.head(head)
    await using segments = await Segments.of(this.#directory)
    const chain = new ChainCheck(head, (record, last, line) => this.#checkRecord(record, { last, line, head }))
    for (const segment of segments.list) {
      const file = await segments.open(segment)
      if (!file && !this.#parts.isLast) return undefined
      if (file) await this.#read(segment, file, chain)
      if (this.#isOver) break
    }
    const goneOutput = this.#outputs.end()
    // Retention may have removed it since, and say so in a record that came behind what was read.
    if (goneOutput && !this.#parts.isLast) return undefined
    const fault = this.#start?.fault() ?? this.#fault ?? chain.end() ?? goneOutput ?? this.#anchors.end(chain.last) ?? this.#headFault(head, headFault, chain.last)
    if (fault) return { ok: false, ...fault }
    return {
      ok: true,
      count: chain.count,
      head: chain.last,
      headChecked: head !== undefined,
      tornBytes: this.#tornBytes,
      files: segments.list.length,
      firstSeq: chain.last.seq - chain.count + 1,
      signed: this.#signatures.signed,
      anchors: this.#anchors.counts,
      outputs: this.#outputs.checked,
      repaired: this.#repaired,
    }
  }

  /** Whether what comes cannot change the verdict. */
  get #isOver(): boolean {
    return this.#fault !== undefined && this.#start?.isDecided === true
  }

  async #read({ name, path, firstSeq }: Segment, file: FileHandle, chain: ChainCheck): Promise<void> {
    let [line, endOffset] = [0, 0]
    try {
      for await (const lines of readLines(file)) {
        for (const { bytes, endOffset: offset } of lines) {
          endOffset = offset
          this.#take(bytes, { file: name, line: ++line, firstSeq }, chain)
          if (this.#isOver) return
        }
        this.#fault ??= await this.#outputs.settle()
      }
      this.#tornBytes = Math.max(0, (await file.stat()).size - endOffset)
      // Only the file that is written to can have a line that is not whole.
      if (firstSeq !== undefined && this.#tornBytes > 0) this.#fault ??= chain.faultBehind(this.#tornBytes)
    } catch (error) {
      throw error instanceof RemexError ? error : unreadable(path, error)
    }
  }

  #take(bytes: Buffer, place: LinePlace & Pick<Segment, 'firstSeq'>, chain: ChainCheck): void {
    const content = readLine(bytes)
    if (!this.#start) {
      this.#start = new StartCheck(content, place)
      this.#anchors.begin(this.#start.position)
      chain.begin(this.#start.position)
    }
    this.#place = place
    this.#start.look(content, bytes)
    this.#fault ??= chain.add(content, place, bytes)
  }

  #checkRecord(record: FoundRecord, { last, line, head }: { readonly last: Position; readonly line: Buffer; readonly head: WrittenHead | undefined }): ReturnType<SignatureCheck['record']> {
    const wrong = this.#signatures.record(record, last, line) ?? this.#anchors.record(record.position)
    if (wrong) return wrong
    if (record.position.seq === head?.seq) this.#signatures.reachedHead(head)
    this.#outputs.note(record, line, this.#place)
    if (record.event === 'repaired' && this.#repaired.length < MOST_REPAIRED) this.#repaired.push(record.position.seq)
    return undefined
  }

  #headFault(head: WrittenHead | undefined, wrong: ReturnType<SignatureCheck['head']>, last: Position): AuditFault | undefined {
    const found = (problem: AuditProblem, message: string): AuditFault => ({ file: 'head.json', line: 1, seq: head?.seq ?? last.seq, problem, message })
    if (wrong) return found(wrong.problem, wrong.message)
    const { verifier, options } = this.#parts
    if (head || !verifier || last.seq === 0) return undefined
    if (options.publicKey === undefined) return found('cut_off', 'head.json is not there, so records may be missing at the end')
    return this.#signatures.signed?.seq === 0 ? found('other_key', `nothing in the log is signed by the key ${verifier.key}`) : undefined
  }
}

const MOST_REPAIRED = 100

/** Read again where it is not right at once: a writer may be in the middle of writing it over. */
async function settledHead(path: string, verifier: Verifier | undefined): Promise<WrittenHead | undefined> {
  for (let attempt = 1; ; attempt++) {
    const head = readHead(path)
    if (attempt === MOST_ATTEMPTS || (head && (!verifier || isHeadSigned(head, verifier)))) return head
    await delay(5)
  }
}
