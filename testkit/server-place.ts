import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeKeyPair, type KeyPair } from './keys.ts'
import { makeTestUser, type RemovableUser, type TestUser } from './test-user.ts'

/** The directory that a server program lives in, with its client key and its users. */
export interface ServerPlace {
  readonly directory: string
  readonly client: KeyPair
  /** The client's private key as a file, for `ssh -i`. */
  readonly clientKeyPath: string
  /** Environment entry to give to everything that the server's sessions start, so that it is found at the end. */
  readonly marker: string
  /** A temporary user; undefined unless we are root. Gone after `remove`. */
  addUser(shell: string): Promise<TestUser | undefined>
  /** Removes the users, their processes, and the directory. */
  remove(): Promise<void>
}

/** Makes a directory under the system's temporary one that users may pass through, with a client key in it. */
export async function makeServerPlace(name: string): Promise<ServerPlace> {
  const directory = await mkdtemp(join(tmpdir(), `remex-${name}-`))
  await chmod(directory, 0o711)
  const client = makeKeyPair()
  const clientKeyPath = join(directory, 'client_key')
  await writeFile(clientKeyPath, client.privateKey, { mode: 0o600 })
  const users: RemovableUser[] = []
  return {
    directory,
    client,
    clientKeyPath,
    marker: `TESTKIT_SERVER=${randomBytes(8).toString('hex')}`,
    addUser: async (shell) => {
      const user = await makeTestUser(shell, directory)
      if (user !== undefined) users.push(user)
      return user
    },
    remove: async () => {
      const removed = await Promise.allSettled(users.splice(0).map((user) => user.remove()))
      await rm(directory, { recursive: true, force: true })
      for (const result of removed) if (result.status === 'rejected') throw result.reason
    },
  }
}
