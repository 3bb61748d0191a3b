import type { Channel, Connection } from '../transport/contract.ts'
import { drain } from './drain.ts'
import { sessionLimit } from './session-limit.ts'

/** sshd allows ten sessions at a time on a connection; the question must not take the place of a command. */
const BUSY_CHANNELS = 4

interface Known {
  uses: number
  open: number
  isSh: boolean
}

/**
 * Knows which connections end in a login whose shell is /bin/sh itself: a command for these needs no second shell,
 * which saves the host a program start for each. Asked once, beside the second command of a connection.
 */
export class LoginShells {
  readonly #connections = new WeakMap<Connection, Known>()

  /** Starts a command: `direct` where the login's shell is known to be /bin/sh, else `exec`, which suits every shell. */
  async exec(connection: Connection, texts: { readonly exec: string; readonly direct: string | undefined }, options: Parameters<Connection['exec']>[1]): Promise<Channel> {
    const known = this.#connections.get(connection) ?? { uses: 0, open: 0, isSh: false }
    this.#connections.set(connection, known)
    const channel = await connection.exec(known.isSh ? (texts.direct ?? texts.exec) : texts.exec, options)
    known.open++
    void channel.closed.then(() => known.open--)
    // After the command, so that it is the question that is refused where a server allows one session only.
    if (++known.uses === 2 && known.open < BUSY_CHANNELS && sessionLimit(connection.info) > BUSY_CHANNELS) void isSh(connection).then((answer) => (known.isSh = answer), () => undefined)
    return channel
  }
}

/** Every shell that is not sh prints another name, or fails: sshd starts a login shell under the last part of its path. */
async function isSh(connection: Connection): Promise<boolean> {
  const channel = await connection.exec('echo $0')
  channel.stdin.end()
  let said = ''
  await Promise.all([
    drain(channel.stdout, (chunk) => void (said = (said + chunk.toString('latin1')).slice(0, 100))),
    drain(channel.stderr, () => undefined),
  ])
  channel.close()
  return said === 'sh\n' || said === '/bin/sh\n'
}
