import { openSync } from 'node:fs'
import { ReadStream } from 'node:tty'
import { remexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import { Secret } from '../core/secret.ts'
import type { Door } from './door.ts'

/** Longer than any passphrase; what is pasted by mistake must not fill the memory. */
const LONGEST = 4096

/** Asks for the passphrase of a key file, given by its path. */
export type AskPassphrase = (label: string) => Promise<Secret>

/**
 * Asks on the terminal, one question at a time and each key once; undefined where standard input or standard error are
 * no terminals.
 */
export function passphraseAsker(door: Door): AskPassphrase | undefined {
  if (!process.stdin.isTTY || !door.stderr.isTerminal) return undefined
  const answers = new Map<string, Promise<Secret>>()
  let last: Promise<unknown> = Promise.resolve()
  return (label) => {
    const known = answers.get(label)
    if (known) return known
    const answer = last.then(() => readHidden(door, `Passphrase of ${printable(label)}: `))
    answers.set(label, answer)
    last = answer.catch(() => undefined)
    return answer
  }
}

/** One line from the terminal itself, not shown. Whatever happens, the terminal gets its echo back. */
async function readHidden(door: Door, prompt: string): Promise<Secret> {
  const terminal = new ReadStream(openSync('/dev/tty', 'r+'))
  const restore = (): void => void terminal.setRawMode(false)
  process.once('exit', restore)
  terminal.setRawMode(true)
  void door.stderr.write(prompt)
  try {
    return await readLine(terminal, door.stop.signal)
  } finally {
    restore()
    process.off('exit', restore)
    terminal.destroy()
    void door.stderr.write('\n')
  }
}

function readLine(terminal: ReadStream, signal: AbortSignal): Promise<Secret> {
  const line: string[] = []
  const cancelled = (): Error => remexError('CANCELLED', 'no passphrase was given', { hint: '' })
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(cancelled()), { once: true })
    terminal.on('error', reject)
    terminal.on('end', () => reject(cancelled()))
    terminal.setEncoding('utf8').on('data', (text: string) => {
      // A raw terminal sends keys, not lines: Return ends, Ctrl-C and Ctrl-D give up, Backspace and Ctrl-U take back.
      for (const key of text) {
        if (key === '\r' || key === '\n') return resolve(new Secret(line.join('')))
        if (key === '\u0003' || key === '\u0004') return reject(cancelled())
        if (key === '\u0015') line.length = 0
        else if (key === '\u007f' || key === '\b') line.pop()
        else if (line.length < LONGEST) line.push(key)
      }
    })
  })
}
