import type { Command } from 'commander'
import type { Remex } from '../remex.ts'
import type { Globals } from './globals.ts'
import type { Interruption } from './interruption.ts'
import type { Sink } from './sink.ts'
import type { Turns } from './turns.ts'

/** What a command is given besides its own arguments. */
export interface Door {
  readonly globals: Globals
  readonly stdout: Sink
  readonly stderr: Sink
  readonly stop: Interruption
  /** Questions on the terminal, one at a time. */
  readonly turns: Turns
  readonly env: NodeJS.ProcessEnv
  /** The words behind `--`; undefined without a `--`. Only `run`, `script` and `policy` have them. */
  readonly words: readonly string[] | undefined
}

/** What a command does; resolves with the exit status. */
export type Action = (door: Door) => Promise<number>

/** How a command's definition starts its action; `command` is the one whose options were parsed. */
export type Start = (command: Command, action: Action) => Promise<void>

/** Opens Remex by the global options, and closes it when `work` is done. */
export async function withRemex<T>(door: Door, work: (remex: Remex) => Promise<T>): Promise<T> {
  const { config, user } = door.globals
  // Only here: help and version need none of it.
  const [{ Remex: Library }, { passphraseAsker }] = await Promise.all([import('../remex.ts'), import('./passphrase.ts')])
  const askPassphrase = passphraseAsker(door)
  const remex = await Library.open({ ...(config !== undefined && { config }), ...(user !== undefined && { user }), ...(askPassphrase && { askPassphrase }), env: door.env })
  try {
    return await door.stop.during(() => work(remex))
  } finally {
    await remex.close()
  }
}

/** Says something that is no error and no result, on stderr; not with --quiet. */
export function notice(door: Door, text: string): void {
  if (!door.globals.quiet) void door.stderr.line(`remex: ${text}`)
}

/** Prints one object of `--json`. */
export function printJson(door: Door, row: object): void | Promise<void> {
  return door.stdout.line(JSON.stringify(row))
}
