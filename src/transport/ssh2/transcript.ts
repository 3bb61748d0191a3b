import { leadingStrings } from '../../core/ssh-wire.ts'

const MAX_BYTES = 64 * 1024
const KEXINIT = 20

/** What a server offered in its KEXINIT, by category; both directions together. */
export interface ServerOffer {
  readonly kex: readonly string[]
  readonly hostKey: readonly string[]
  readonly cipher: readonly string[]
  readonly mac: readonly string[]
}

/**
 * What a server said in the clear: text, identification, algorithms. Kept until the handshake is over, at most 64 KiB.
 * ssh2 tells of a failed negotiation only that it failed; this is where the other side of it comes from.
 */
export class Transcript {
  #bytes = Buffer.alloc(0)
  #done = false

  /** Adds what arrived. After `finish`, or past the limit, it is ignored. */
  add(chunk: Buffer): void {
    const room = MAX_BYTES - this.#bytes.length
    if (!this.#done && room > 0) this.#bytes = Buffer.concat([this.#bytes, chunk.subarray(0, room)])
  }

  /** No more is wanted; what is there stays. */
  finish(): void {
    this.#done = true
  }

  /** Whether the server said nothing at all. */
  get isEmpty(): boolean {
    return this.#bytes.length === 0
  }

  /** The identification line, `SSH-2.0-OpenSSH_9.2`; undefined before it has come. Source: RFC 4253 section 4.2. */
  get identification(): string | undefined {
    return this.#identification()?.line
  }

  /** The text before the identification, or all of it where there is none. At most 200 characters; untrusted. */
  get greeting(): string {
    return this.#bytes.toString('latin1', 0, this.#identification()?.start ?? this.#bytes.length).trim().slice(0, 200)
  }

  /** What the server offers; undefined where its KEXINIT did not come, or is not one. */
  get offer(): ServerOffer | undefined {
    const identification = this.#identification()
    return identification === undefined ? undefined : parseKexInit(this.#bytes.subarray(identification.end))
  }

  #identification(): { line: string; start: number; end: number } | undefined {
    const text = this.#bytes.toString('latin1')
    const found = /^(SSH-[^\r\n]{0,255})\r?\n/m.exec(text)
    if (found?.[1] === undefined) return undefined
    return { line: found[1], start: found.index, end: found.index + found[0].length }
  }
}

/** Source: RFC 4253 sections 6 and 7.1. Packets before KEXINIT are passed over. */
function parseKexInit(bytes: Buffer): ServerOffer | undefined {
  for (let at = 0; at + 6 <= bytes.length;) {
    const end = at + 4 + bytes.readUInt32BE(at)
    if (end > bytes.length) return undefined
    if (bytes[at + 5] === KEXINIT) return offerOf(readNameLists(bytes.subarray(at + 6 + 16, end)))
    at = end
  }
  return undefined
}

function readNameLists(payload: Buffer): string[][] {
  return leadingStrings(payload, 6).map((list) => list.toString('latin1').split(',').filter((name) => name !== ''))
}

function offerOf(lists: readonly string[][]): ServerOffer | undefined {
  const [kex, hostKey, cipherOut, cipherIn, macOut, macIn] = lists
  if (kex === undefined || hostKey === undefined || cipherOut === undefined) return undefined
  const both = (a: readonly string[] = [], b: readonly string[] = []): string[] => [...new Set([...a, ...b])]
  return { kex, hostKey, cipher: both(cipherOut, cipherIn), mac: both(macOut, macIn) }
}
