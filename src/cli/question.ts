import { createInterface } from 'node:readline/promises'
import { cancelledError } from '../core/abort.ts'
import { remexError } from '../core/errors.ts'
import type { Door } from './door.ts'

/** Throws `USAGE`, with `instead` as what to do, where nobody is at a terminal to be asked. */
export function requireTerminal(door: Door, what: string, instead: string): void {
  if (process.stdin.isTTY && door.stderr.isTerminal && !door.globals.json) return
  throw remexError('USAGE', `${what} is asked for on a terminal, and there is none`, { hint: instead })
}

/** Asks on the terminal; only a clear yes is one. Throws `CANCELLED` when we are told to end meanwhile. */
export async function askYes(door: Door, question: string): Promise<boolean> {
  const { signal } = door.stop
  // Not as a terminal: then Ctrl-C stays a signal to us.
  const dialogue = createInterface({ input: process.stdin, output: process.stderr, terminal: false })
  const closed = new Promise<string>((resolve) => dialogue.once('close', () => resolve('')))
  try {
    const answer = await Promise.race([dialogue.question(`${question} [y/N] `, { signal }), closed])
    return /^y(es)?$/i.test(answer.trim())
  } catch {
    void door.stderr.write('\n')
    throw cancelledError(signal, 'the question')
  } finally {
    dialogue.close()
  }
}
