import { openSync } from 'node:fs'
import { ReadStream } from 'node:tty'
import { keysIn, type Key } from './keys.ts'

/** The terminal's keys, each as it is pressed. */
export class Keyboard {
  readonly #terminal: ReadStream

  private constructor(terminal: ReadStream) {
    this.#terminal = terminal
  }

  /** Throws where there is no terminal. Not standard input, which may be meant for a command on the hosts. */
  static open(onKey: (key: Key) => void): Keyboard {
    const terminal = new ReadStream(openSync('/dev/tty', 'r+'))
    // A terminal that hangs up has no more keys; the signal that comes with it ends the run.
    terminal.on('error', () => undefined)
    terminal.setEncoding('utf8').on('data', (text: string) => {
      for (const key of keysIn(text)) onKey(key)
    })
    const keyboard = new Keyboard(terminal)
    keyboard.take()
    return keyboard
  }

  /** Has the keys sent as they are, without showing them; again after somebody else changed that. */
  take(): void {
    this.#terminal.setRawMode(true)
  }

  /** Gives the terminal back as it was. */
  release(): void {
    this.#terminal.setRawMode(false)
    this.#terminal.destroy()
  }
}
