import type { Clock } from '../core/clock.ts'

/** A descendant that holds the output open after the command has exited is waited for this long. */
const LINGER_MS = 2000
const TICK_MS = 250
/**
 * sshd may report the exit before it has sent what the command wrote: at most a window and the buffers behind it.
 * What flows on without a pause past LINGER_MS is still that, up to this many bytes; more is a descendant's.
 */
const BACKLOG_BYTES = 8 * 1024 * 1024

/** How output is moving, as its consumer sees it. */
export interface Flow {
  /** All bytes that came so far. */
  readonly bytes: number
  /** Whether our own reader is holding the stream back: that time is not the host's. */
  readonly held: boolean
}

/** Whether `output` came to its end; false when it was given up because something else holds it open. */
export async function outputEnds(output: Promise<void>, { clock, flow }: { clock: Clock; flow: Flow }): Promise<boolean> {
  const before = flow.bytes
  const done = output.then(() => true)
  for (let waitedMs = 0, last = before; ; last = flow.bytes) {
    let cancel: () => void = () => undefined
    const tick = new Promise<false>((resolve) => (cancel = clock.after(TICK_MS, () => resolve(false))))
    if (await Promise.race([done, tick]).finally(() => cancel())) return true
    if (flow.held) continue
    waitedMs += TICK_MS
    const backlog = flow.bytes !== last && flow.bytes - before <= BACKLOG_BYTES
    if (waitedMs >= LINGER_MS && !backlog) return false
  }
}
