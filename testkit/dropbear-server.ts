import { execFile } from 'node:child_process'
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { fingerprint } from '../src/core/host-key.ts'
import { findProgram, startDaemon, type Daemon, type Skipped } from './daemon.ts'
import type { KeyKind } from './keys.ts'
import { makeServerPlace, type ServerPlace } from './server-place.ts'
import { parsePublicKey } from './ssh-login.ts'
import { knownHostsFor, once, type TestHost, type TestHostKey } from './ssh-server.ts'
import type { TestUser } from './test-user.ts'

const run = promisify(execFile)

/** How dropbear is to be. */
export interface DropbearServerOptions {
  /** Kinds of host key to make. Default: `['ed25519']`. */
  readonly hostKeyKinds?: readonly KeyKind[]
  /** More arguments, as `['-W', '1048576']` for a larger window. */
  readonly args?: readonly string[]
}

/** A real dropbear on loopback. `login` is a temporary ordinary user with /bin/sh. SFTP is there where /usr/lib/sftp-server is. */
export interface DropbearServer extends TestHost {
  /** The client key as a file, for `ssh -i`. */
  readonly privateKeyPath: string
  /** What dropbear has logged so far. */
  log(): Promise<string>
  /** Another temporary user with this login shell, which the client key opens too; gone after `close`. */
  testUser(shell: string): Promise<TestUser>
}

/**
 * Starts the machine's own dropbear. Gives the reason where it is not installed, or where we are not root: it looks for
 * authorized_keys in the home of who logs in and nowhere else, and the kit leaves real homes alone.
 */
export async function startDropbearServer(options: DropbearServerOptions = {}): Promise<DropbearServer | Skipped> {
  const dropbear = findProgram('dropbear')
  const dropbearkey = findProgram('dropbearkey')
  if (dropbear === undefined || dropbearkey === undefined) return { skipped: 'dropbear is not installed (Debian: dropbear-bin)' }
  if (process.getuid?.() !== 0) return { skipped: 'dropbear is only started as root, for a user of its own' }
  const place = await makeServerPlace('dropbear')
  try {
    return await start({ options, dropbear, dropbearkey, place })
  } catch (error) {
    await place.remove()
    throw error
  }
}

interface Plan {
  readonly options: DropbearServerOptions
  readonly dropbear: string
  readonly dropbearkey: string
  readonly place: ServerPlace
}

async function start(plan: Plan): Promise<DropbearServer> {
  const { options, place } = plan
  const testUser = (shell: string): Promise<TestUser> => addUser(place, shell)
  const { name: login } = await testUser('/bin/sh')
  const hostKeys = await Promise.all((options.hostKeyKinds ?? ['ed25519']).map((kind) => makeHostKey(plan, kind)))
  const daemon = await startDropbear(plan, hostKeys)
  const close = once(async () => {
    try {
      await daemon.close()
    } finally {
      await place.remove()
    }
  })
  return {
    address: '127.0.0.1', port: daemon.port, login, hostKeys,
    knownHosts: knownHostsFor({ host: '127.0.0.1', port: daemon.port }, hostKeys),
    privateKey: place.client.privateKey, privateKeyPath: place.clientKeyPath,
    log: () => daemon.log(), testUser, close, [Symbol.asyncDispose]: close,
  }
}

async function addUser(place: ServerPlace, shell: string): Promise<TestUser> {
  const user = await place.addUser(shell)
  if (user === undefined) throw new Error('useradd is not installed (Debian: passwd)')
  const directory = join(user.home, '.ssh')
  const file = join(directory, 'authorized_keys')
  await mkdir(directory)
  await writeFile(file, `${place.client.publicKey}\n`)
  // Dropbear refuses keys that others could have written.
  await chmod(directory, 0o700)
  await chmod(file, 0o600)
  for (const path of [directory, file]) await chown(path, user.uid, user.gid)
  return user
}

interface HostKeyFile extends TestHostKey {
  readonly path: string
}

async function makeHostKey({ dropbearkey, place }: Plan, kind: KeyKind): Promise<HostKeyFile> {
  const path = join(place.directory, `host_${kind}`)
  await run(dropbearkey, ['-t', kind, '-f', path])
  const { stdout } = await run(dropbearkey, ['-y', '-f', path])
  const key = parsePublicKey(/^(?:ssh-|ecdsa-).*$/m.exec(stdout)?.[0] ?? '')
  const blob = key.getPublicSSH()
  return { path, type: key.type, blob, fingerprint: fingerprint(blob) }
}

function startDropbear({ options, dropbear, place }: Plan, hostKeys: readonly HostKeyFile[]): Promise<Daemon> {
  const keyArgs = hostKeys.flatMap((key) => ['-r', key.path])
  return startDaemon({
    file: dropbear,
    logPath: join(place.directory, 'log'),
    // It says so once it has a port to listen on.
    listening: /Not backgrounding/,
    args: (port) => ['-F', '-E', '-s', '-m', '-p', `127.0.0.1:${port}`, '-P', join(place.directory, 'pid'), ...keyArgs, ...(options.args ?? [])],
  })
}
