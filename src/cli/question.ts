import { remexError } from '../core/errors.ts'
import type { Door } from './door.ts'
import { askLine, canAsk } from './prompt.ts'

/** Throws `USAGE`, with `instead` as what to do, where nobody is at a terminal to be asked. */
export function requireTerminal(door: Door, what: string, instead: string): void {
  if (canAsk(door) && !door.globals.json) return
  throw remexError('USAGE', `${what} is asked for on a terminal, and there is none`, { hint: instead })
}

/** Asks on the terminal; only a clear yes is one. Throws `CANCELLED` when there is no answer, as {@link askLine} does. */
export async function askYes(door: Door, question: string): Promise<boolean> {
  const answer = await askLine(door, `${question} [y/N]`)
  return /^y(es)?$/i.test(answer.trim())
}
