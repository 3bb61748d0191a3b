import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chown, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { endProcesses } from './processes.ts'

const run = promisify(execFile)

/** An ordinary user of this machine, for the length of a test. */
export interface TestUser {
  readonly name: string
  /** 0700. */
  readonly home: string
  readonly uid: number
  readonly gid: number
}

/** A {@link TestUser} with the way to be rid of it. */
export interface RemovableUser extends TestUser {
  /** Ends all its processes, removes the user and the home. Safe to repeat. */
  remove(): Promise<void>
}

/**
 * Makes a user `remex-t…` with this login shell and a home under `directory`, which others must be able to enter.
 * The password is `*`: no password opens it, and keys do. Undefined unless we are root and `useradd` is installed.
 */
export async function makeTestUser(shell: string, directory: string): Promise<RemovableUser | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const name = `remex-t${randomBytes(5).toString('hex')}`
  const home = join(directory, name)
  try {
    await locked('useradd', ['-M', '-d', home, '-s', shell, '-p', '*', name])
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
  const [uid, gid] = await Promise.all([idOf(name, '-u'), idOf(name, '-g')])
  const user = { name, home, uid, gid }
  const remove = (): Promise<void> => removeUser(user)
  try {
    await mkdir(home, { mode: 0o700 })
    await chown(home, uid, gid)
  } catch (error) {
    await remove()
    throw error
  }
  return { ...user, remove }
}

async function removeUser({ name, uid, home }: TestUser): Promise<void> {
  await endProcesses({ uid })
  await locked('userdel', [name]).catch((error: unknown) => {
    if (exitCodeOf(error) !== NO_SUCH_USER) throw error
  })
  await rm(home, { recursive: true, force: true })
}

const NO_SUCH_USER = 6
/** Exit statuses of useradd(8) and userdel(8): 1 and 10 are locked or busy files. */
const BUSY = [1, 10]

/** Both tools give up at once when another one holds the lock on /etc/passwd; test files run side by side. */
async function locked(command: string, args: readonly string[]): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await run(command, args)
      return
    } catch (error) {
      if (attempt === 100 || !BUSY.includes(exitCodeOf(error) ?? 0)) throw error
    }
    await delay(20 + Math.random() * 100)
  }
}

async function idOf(name: string, flag: '-u' | '-g'): Promise<number> {
  return Number((await run('id', [flag, name])).stdout)
}

function exitCodeOf(error: unknown): number | undefined {
  const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined
  return typeof code === 'number' ? code : undefined
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && Reflect.get(error, 'code') === 'ENOENT'
}
