import { execFile } from 'node:child_process'
import { userInfo } from 'node:os'

/** Names of the operating system's users by their numbers, from wherever this machine has them. */
export class OsUsers {
  readonly #known = new Map<number, Promise<string | undefined>>()

  /** The name of a user; undefined where nobody has this number. */
  nameOf(uid: number): Promise<string | undefined> {
    const known = this.#known.get(uid) ?? lookedUp(uid)
    this.#known.set(uid, known)
    return known
  }
}

async function lookedUp(uid: number): Promise<string | undefined> {
  const own = userInfo()
  if (uid === own.uid) return own.username
  const line = await output('getent', ['passwd', String(uid)])
  if (line !== undefined) {
    const [name, , number] = line.split(':')
    return name !== '' && number === String(uid) ? name : undefined
  }
  // Without getent, as on macOS. A name that is itself a number would be taken for it; so the way back is asked too.
  const name = (await output('id', ['-un', String(uid)]))?.trim()
  if (name === undefined || name === '' || name.startsWith('-')) return undefined
  return (await output('id', ['-u', name]))?.trim() === String(uid) ? name : undefined
}

/** What a program printed; undefined where there is no such program, or it failed. */
function output(program: string, words: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(program, words, { timeout: 10_000 }, (error, stdout) => resolve(error ? undefined : stdout))
  })
}
