import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import ssh2, { type Client, type ClientChannel } from 'ssh2'
import type { TestHost } from '../../testkit/ssh-server.ts'

/** ssh2's client, logged in to a server of the kit, whose host keys are the only ones it takes. */
export async function logIn(server: TestHost, more: ssh2.ConnectConfig = {}): Promise<Client> {
  const client = new ssh2.Client()
  client.on('error', () => undefined)
  client.connect({
    host: server.address,
    port: server.port,
    username: server.login,
    privateKey: server.privateKey,
    hostVerifier: (blob: Buffer) => server.hostKeys.some((key) => key.blob.equals(blob)),
    ...more,
  })
  // It closes without an error when it loses the connection during the login.
  const closed = once(client, 'close').then(() => Promise.reject(new Error('closed before the login')))
  await Promise.race([once(client, 'ready'), closed])
  return client
}

/** A channel on which the server has accepted `command`. Rejects where it did not, or the connection broke. */
export function exec(client: Client, command: string, options: ssh2.ExecOptions = {}): Promise<ClientChannel> {
  return new Promise((resolve, reject) => client.exec(command, options, (error, channel) => {
    if (error) return reject(error)
    // The exit may come with the same bytes as the reply, before any promise goes on.
    channel.once('exit', (code: number | null, signal?: string) => exits.set(channel, { code, signal }))
    resolve(channel)
  }))
}

const exits = new WeakMap<ClientChannel, Pick<Finished, 'code' | 'signal'>>()

/** How a command ended. */
export interface Finished {
  readonly stdout: string
  readonly stderr: string
  /** Null when it ended by a signal or nobody told. */
  readonly code: number | null
  /** `SIGTERM`; undefined when it exited. */
  readonly signal: string | undefined
}

/** Reads a channel to its end. */
export async function finish(channel: ClientChannel): Promise<Finished> {
  const closed = once(channel, 'close')
  const [stdout, stderr] = await Promise.all([text(channel), text(channel.stderr), closed])
  return { stdout, stderr, ...(exits.get(channel) ?? { code: null, signal: undefined }) }
}

/** Runs a command with this input, to its end. */
export async function runOn(client: Client, command: string, input = ''): Promise<Finished> {
  const channel = await exec(client, command)
  channel.end(input)
  return finish(channel)
}
