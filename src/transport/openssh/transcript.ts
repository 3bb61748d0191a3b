import type { Phase } from '../peer.ts'
import { timerMs } from '../timer.ts'

/** What ssh says until it has logged in is kept up to here. A server can make it say more. */
const MOST_BYTES = 256 * 1024

/** What it says later is of interest at its end only. */
const TAIL_BYTES = 4 * 1024

/** ssh says no longer lines than this; what a server makes it print may be longer. Source: OpenSSH log.c, MSGBUFSIZ. */
const LONGEST_LINE = 1024

/** The host key that ssh accepted, as it names it. */
export interface ShownKey {
  readonly type: string
  /** `SHA256:…`, of the plain key. */
  readonly fingerprint: string
  /** Who signed the certificate; undefined for a plain key. */
  readonly authority?: string
}

/** What was negotiated, as ssh names it. */
export interface Negotiated {
  readonly kex: string
  readonly cipher: string
  /** Empty for a cipher that authenticates itself. */
  readonly mac: string
}

const NEW_KEYS = /^debug1: SSH2_MSG_NEWKEYS received/
const KEX = /^debug1: kex: algorithm: (\S+)$/
const CIPHER = /^debug1: kex: client->server cipher: (\S+) MAC: (\S+) compression: none$/
/** Source: OpenSSH sshconnect.c, check_host_key. */
const MATCH = /^debug1: Host '.*' is known and matches the \S+ host (key|certificate)\.$/
const KEY = /^debug1: Server host key: (\S+) (SHA256:[A-Za-z0-9+/]{43})$/
const CERTIFICATE = /^debug1: Server host certificate: (\S+)-cert-v01@openssh\.com (SHA256:[A-Za-z0-9+/]{43}), serial .* CA \S+ (SHA256:[A-Za-z0-9+/]{43}) valid /

/**
 * What `ssh -v` prints: what was negotiated, and why it ended. A server can make it print lines of the server's own making, by
 * messages for debugging and by banners. So nothing here decides whom to trust: ssh did, by a file and by lists that we gave it. The
 * worst that such lines do is to name another of the keys and algorithms that were allowed, or another error for that server's own
 * connection. The texts are the same from OpenSSH 7.4 to 10.5.
 */
export class Transcript {
  #text = ''
  #isSettled = false
  readonly #watchers = new Set<() => void>()

  /** Adds what came. */
  add(chunk: string): void {
    const text = this.#text + chunk
    this.#text = this.#isSettled ? text.slice(-TAIL_BYTES) : text.slice(0, MOST_BYTES)
    for (const watcher of [...this.#watchers]) watcher()
  }

  /** From now on only the end of it counts. */
  settle(): void {
    this.#isSettled = true
    this.#text = ''
  }

  /** Whether there is more of it than ssh can have to say. */
  get isFull(): boolean {
    return this.#text.length >= MOST_BYTES
  }

  /** All of it, for who reads certificates. */
  get text(): string {
    return this.#text
  }

  /** Without the end of the line, and without a last one that has none. */
  get lines(): readonly string[] {
    return this.#text.split('\n').slice(0, -1).map((line) => line.replace(/\r$/, ''))
  }

  /** What ssh says without being asked for more, its name left out; of a line that is too long, its end, which may be of ssh. */
  get messages(): readonly string[] {
    return this.lines.filter((line) => line !== '' && !/^(?:debug\d: |OpenSSH_)/.test(line)).map((line) => line.slice(-LONGEST_LINE))
  }

  get phase(): Phase {
    const has = (text: RegExp): boolean => this.lines.some((line) => text.test(line))
    if (has(NEW_KEYS)) return 'login'
    if (has(/^debug1: Remote protocol version /)) return 'handshake'
    return has(/^debug1: (?:Connection established\.|Local version string)/) ? 'identification' : 'dial'
  }

  /** `OpenSSH_9.2p1 Debian-2`; empty where it did not come. */
  get serverSoftware(): string {
    return this.#first(/^debug1: Remote protocol version \S+, remote software version (.*)$/)?.[1] ?? ''
  }

  /** What the server said before it named itself. */
  get greeting(): string {
    return this.#first(/^debug1: (?:kex_exchange_identification|ssh_exchange_identification): (?:banner line \d+: )?(.*)$/)?.[1] ?? ''
  }

  /** Undefined where it did not come so far. */
  get negotiated(): Negotiated | undefined {
    const kex = this.#first(KEX)?.[1]
    const [, cipher, mac] = this.#first(CIPHER) ?? []
    if (kex === undefined || cipher === undefined || mac === undefined) return undefined
    return { kex, cipher, mac: mac === '<implicit>' ? '' : mac }
  }

  /** Whether both sides keep to strict key exchange. Source: OpenSSH packet.c; PROTOCOL, section 1.10. */
  get isStrict(): boolean {
    return this.#first(/^debug1: (?:ssh_packet_\w+: )?resetting (?:send|read) seqnr /) !== undefined
  }

  /** The last that was shown before the login, as that what it was taken for: a certificate that does not count leaves its key. */
  get hostKey(): ShownKey | undefined {
    const { lines } = this
    const end = lines.findIndex((line) => NEW_KEYS.test(line))
    const before = lines.slice(0, end === -1 ? undefined : end)
    const isCertified = before.map((line) => MATCH.exec(line)?.[1]).findLast((what) => what !== undefined) === 'certificate'
    for (const line of before.reverse()) {
      const [, type, fingerprint, authority] = KEY.exec(line) ?? CERTIFICATE.exec(line) ?? []
      if (type !== undefined && fingerprint !== undefined) return { type, fingerprint, ...(isCertified && authority !== undefined && { authority }) }
    }
    return undefined
  }

  /** Resolves when `isThere` says so of what is there, or after `timeoutMs`; `Infinity`: never otherwise. */
  async until(isThere: () => boolean, timeoutMs: number): Promise<void> {
    if (isThere()) return
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#watchers.delete(watcher)
        resolve()
      }
      const timer = timerMs(timeoutMs) === 0 ? undefined : setTimeout(done, timerMs(timeoutMs))
      const watcher = (): void => { if (isThere()) done() }
      this.#watchers.add(watcher)
    })
  }

  #first(text: RegExp): RegExpExecArray | undefined {
    for (const line of this.lines) {
      const found = text.exec(line)
      if (found) return found
    }
    return undefined
  }
}
