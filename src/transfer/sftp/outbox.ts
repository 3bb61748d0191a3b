import type { Writable } from 'node:stream'

/** What the SSH layer carries in one packet at most, here and at OpenSSH. */
const SSH_PACKET_BYTES = 32 * 1024

/**
 * Gathers what is sent in one turn of the event loop, so that it goes out in one write: a small request costs far less than
 * the encryption, the system call and the waking of the server that each write costs. What is large is not copied, but for
 * its beginning, which fills the SSH packet that its head begins. To hold requests for longer, until several answers have
 * led to more of them, was measured to gain nothing.
 */
export class Outbox {
  readonly #stdin: Writable
  #gathered: Buffer[] = []
  #gatheredBytes = 0
  #isCorked = false
  #turn: NodeJS.Immediate | undefined

  constructor(stdin: Writable) {
    this.#stdin = stdin
  }

  /** Sends a packet, by the end of this turn; `data` follows it, and must stay as it is until the server has it. */
  send(packet: Buffer, data?: Buffer): void {
    this.#turn ??= setImmediate(() => this.flush())
    this.#gather(packet)
    if (data === undefined) return
    const roomBytes = SSH_PACKET_BYTES - (this.#gatheredBytes % SSH_PACKET_BYTES)
    if (data.length - roomBytes < SSH_PACKET_BYTES) return this.#gather(data)
    this.#gather(data.subarray(0, roomBytes))
    this.#write(data.subarray(roomBytes))
  }

  /** Sends what is gathered now. */
  flush(): void {
    clearImmediate(this.#turn)
    this.#turn = undefined
    this.#writeGathered()
    const wasCorked = this.#isCorked
    this.#isCorked = false
    if (wasCorked) this.#stdin.uncork()
  }

  #gather(bytes: Buffer): void {
    this.#gathered.push(bytes)
    this.#gatheredBytes += bytes.length
  }

  #write(large: Buffer): void {
    if (!this.#isCorked) this.#stdin.cork()
    this.#isCorked = true
    this.#writeGathered()
    this.#stdin.write(large)
  }

  /** A write may be answered at once, and lead to more to send, before it returns: nothing may be changed after it. */
  #writeGathered(): void {
    if (this.#gatheredBytes === 0) return
    const bytes = Buffer.concat(this.#gathered, this.#gatheredBytes)
    this.#gathered = []
    this.#gatheredBytes = 0
    this.#stdin.write(bytes)
  }
}
