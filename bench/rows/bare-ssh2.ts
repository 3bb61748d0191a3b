import { Client } from 'ssh2'
import type { OpensshServer } from '../../testkit/openssh-server.ts'

/** ssh2 as fast as it goes by itself: TCP_NODELAY on, and none of what Remex adds. */
export async function bareClient(server: OpensshServer): Promise<{ run(command: string): Promise<void>; close(): void }> {
  const client = new Client()
  await new Promise<void>((resolve, reject) => {
    client.once('ready', resolve).once('error', reject)
    client.connect({ host: server.address, port: server.port, username: server.login, privateKey: server.privateKey, hostVerifier: () => true })
  })
  client.setNoDelay(true)
  return {
    run: (command) =>
      new Promise((resolve, reject) => {
        client.exec(command, (error, channel) => {
          if (error) return reject(error)
          channel.resume()
          channel.stderr.resume()
          channel.once('close', () => resolve())
          channel.end()
        })
      }),
    close: () => client.end(),
  }
}
