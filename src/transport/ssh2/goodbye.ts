import type { Duplex } from 'node:stream'
import type { Client } from 'ssh2'

/** How long an orderly end may take before the stream is destroyed. */
const GOODBYE_MS = 1000

/** Ends a connection in order; one whose other side does not answer ends too, a moment later. */
export function sayGoodbye(client: Client, stream: Duplex): void {
  client.end()
  const timer = setTimeout(() => stream.destroy(), GOODBYE_MS)
  stream.once('close', () => clearTimeout(timer))
  if (stream.closed) clearTimeout(timer)
}
