import type { Duplex } from 'node:stream'

/** What a channel needs of its connection. */
export interface ChannelHome {
  /** What the connection runs over. */
  readonly stream: Duplex
  /** The server sent more than it was allowed to. */
  readonly onFlood: () => void
}

/** Whether anything can be sent. Afterwards ssh2 throws at whoever tries, and that may be whoever reads the last output. */
export function isUsable({ stream }: ChannelHome): boolean {
  return !stream.destroyed
}
