import { createHash } from 'node:crypto'
import { constants, createReadStream } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { errorCode, systemReason } from '../../core/atomic-file.ts'
import type { LinePlace } from './chain-check.ts'
import { parseRecord, type FoundRecord } from '../line.ts'
import { OUTPUT_FILE, OUTPUTS } from '../outputs.ts'
import type { AuditFault } from './verdict.ts'

/** Recorded output that a record names. */
interface Named {
  readonly name: string
  readonly place: LinePlace & { readonly seq: number }
}

/** In every line that names recorded output. */
const NAMING = `_file":"${OUTPUTS}/`
/** Output that was read need not be read again for another record of that day; how much of it is remembered is bounded. */
const MOST_REMEMBERED = 10_000

/** Checks the recorded output that the records of one log name: that it is there, and is what was written. */
export class OutputCheck {
  readonly #directory: string
  readonly #right = new Set<string>()
  #waiting: Named[] = []
  /** The first of each day that is not there: retention may have removed it, which a later record then says. */
  readonly #gone = new Map<string, Named>()
  #checked = 0

  constructor(directory: string) {
    this.#directory = directory
  }

  /** How many files were read and found right. */
  get checked(): number {
    return this.#checked
  }

  /** Looks at a record that is right itself; its output is read by {@link settle}. */
  note({ position: { seq }, event }: FoundRecord, line: Buffer, place: LinePlace): void {
    if (event === 'outputs_removed') this.#removed(parseRecord(line)?.before_day ?? '')
    if (!line.includes(NAMING)) return
    const record = parseRecord(line)
    for (const name of [record?.stdout_file, record?.stderr_file]) {
      if (name !== undefined && !this.#right.has(name)) this.#waiting.push({ name, place: { ...place, seq } })
    }
  }

  /** Reads what was noted. Resolves with the first fault. Memory is bounded by what is noted between two calls. */
  async settle(): Promise<AuditFault | undefined> {
    const waiting = this.#waiting
    this.#waiting = []
    for (const named of waiting) {
      const fault = await this.#check(named)
      if (fault) return fault
    }
    return undefined
  }

  /** The fault of what is gone, once all records were looked at. */
  end(): AuditFault | undefined {
    const [first] = [...this.#gone.values()].toSorted((a, b) => a.place.seq - b.place.seq)
    return first && faultOf(first, 'missing', 'is not there, and no record says that it was removed')
  }

  #removed(beforeDay: string): void {
    for (const day of this.#gone.keys()) if (day < beforeDay) this.#gone.delete(day)
  }

  async #check(named: Named): Promise<AuditFault | undefined> {
    const { name } = named
    const [, day, hash] = OUTPUT_FILE.exec(name) ?? []
    if (day === undefined) return faultOf(named, 'altered', 'is not where recorded output is kept')
    if (this.#right.has(name)) return undefined
    const found = await contentHash(join(this.#directory, name))
    if (found === undefined) this.#gone.set(day, this.#gone.get(day) ?? named)
    else if (found === hash) this.#remember(name)
    else return faultOf(named, 'altered', 'is not what was written')
    return undefined
  }

  #remember(name: string): void {
    if (this.#right.size >= MOST_REMEMBERED) this.#right.clear()
    this.#right.add(name)
    this.#checked++
  }
}

function faultOf({ name, place }: Named, problem: AuditFault['problem'], what: string): AuditFault {
  const shown = OUTPUT_FILE.test(name) ? name : 'a file'
  return { ...place, problem, message: `the output that record ${place.seq} names, ${shown}, ${what}` }
}

/** SHA-256 of what is compressed in a file; undefined where there is no file, something else for one that cannot be read to its end. */
async function contentHash(path: string): Promise<string | undefined> {
  let file: FileHandle
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    return errorCode(error) === 'ENOENT' ? undefined : systemReason(error)
  }
  const hash = createHash('sha256')
  try {
    await pipeline(createReadStream('', { fd: file }), createGunzip(), hash)
    return hash.digest('hex')
  } catch (error) {
    return systemReason(error)
  } finally {
    await file.close().catch(() => undefined)
  }
}
