import { openSync } from 'node:fs'
import { PassThrough, Writable, type Readable } from 'node:stream'
import { ReadStream } from 'node:tty'
import { cancelledError } from '../core/abort.ts'
import { remexError, type RemexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import { Secret } from '../core/secret.ts'
import type { Door } from './door.ts'
import { INTERRUPTED } from './interruption.ts'

/** Longer than any answer, in characters; what is pasted by mistake must not fill the memory. */
const LONGEST = 4096

/** Whether somebody is there to be asked: standard input and standard error are terminals. */
export function canAsk(door: Pick<Door, 'stderr'>): boolean {
  return process.stdin.isTTY && door.stderr.isTerminal
}

/**
 * Asks for a line, which is shown as it is typed; one question at a time. Rejects with `CANCELLED` for Ctrl-C, which ends
 * the whole command, for Ctrl-D and Escape, and when we are told to end meanwhile. The terminal is left as it was found.
 */
export function askLine(door: Door, question: string): Promise<string> {
  // Not the library's own yes-or-no: there a "y" anywhere in what is typed is a yes, and so is "what?" with Return.
  return ask(door, async (face) => {
    const { text } = await import('@clack/prompts')
    return text({ message: printable(question), withGuide: false, ...face })
  })
}

/** Asks for a line of which nothing is shown, not even its length. Rejects as {@link askLine} does. */
export async function askHidden(door: Door, question: string): Promise<Secret> {
  const answer = await ask(door, async (face) => {
    const { password } = await import('@clack/prompts')
    return password({ message: printable(question), mask: '', withGuide: false, ...face })
  })
  return new Secret(answer)
}

/** What the library is given of the terminal. */
interface Face {
  readonly input: Readable
  readonly output: Writable
  readonly signal: AbortSignal
}

/** Asks by the library, which answers with a symbol where there is no answer. */
type Asking = (face: Face) => Promise<string | symbol>

function ask(door: Door, asking: Asking): Promise<string> {
  return door.turns.take(() => onTerminal(door, asking))
}

async function onTerminal(door: Door, asking: Asking): Promise<string> {
  const { signal } = door.stop
  if (signal.aborted) throw cancelledError(signal, 'the question')
  const terminal = openTerminal()
  const keys = new Keys(terminal)
  const restore = (): void => {
    terminal.setRawMode(false)
    void door.stderr.write(SHOW_CURSOR)
  }
  const interrupt = (): void => keys.giveUp(cancelledError(signal, 'the question'))
  process.once('exit', restore)
  signal.addEventListener('abort', interrupt, { once: true })
  terminal.setRawMode(true)
  try {
    const answer = await asking({ input: keys, output: screen(door), signal: keys.gaveUp })
    if (typeof answer === 'string') return answer
  } finally {
    restore()
    process.off('exit', restore)
    signal.removeEventListener('abort', interrupt)
    terminal.destroy()
  }
  // Only when the terminal is as it was: this may end the process.
  if (keys.interrupted) door.stop.cancel(INTERRUPTED)
  throw keys.reason ?? unanswered()
}

/** Not standard input, which may be meant for a command on the hosts, and which would have to be let go again. */
function openTerminal(): ReadStream {
  try {
    return new ReadStream(openSync('/dev/tty', 'r+'))
  } catch (cause) {
    throw remexError('USAGE', 'there is no terminal that a question can be asked on', { hint: 'Give the answer on the command line; --help after the command says how.', cause })
  }
}

/**
 * What is typed, up to the first Return: the rest of what was pasted is no answer to the next question. The library knows
 * nothing of Ctrl-D, of a terminal that hangs up, and of a Return that was typed before it listened; so those are seen to here.
 */
class Keys extends PassThrough {
  readonly #end = new AbortController()
  #count = 0
  #answered = false
  /** Why there is no answer; undefined where the library itself decided that. */
  reason: RemexError | undefined
  /** Whether it was Ctrl-C. */
  interrupted = false

  constructor(terminal: ReadStream) {
    super()
    terminal.on('error', (cause) => this.giveUp(unanswered(cause)))
    terminal.on('end', () => this.giveUp(unanswered()))
    terminal.setEncoding('utf8').on('data', (text: string) => this.#type(text))
  }

  /** Aborts when there will be no answer. */
  get gaveUp(): AbortSignal {
    return this.#end.signal
  }

  giveUp(reason: RemexError): void {
    this.reason ??= reason
    this.#end.abort()
  }

  #type(text: string): void {
    if (this.#answered) return
    const at = text.search(/[\r\n\u0003\u0004]/)
    // Ctrl-Z would leave the terminal raw, for the shell that comes to the front.
    const typed = (at === -1 ? text : text.slice(0, at)).replaceAll('\u001a', '')
    this.#count += typed.length
    if (this.#count > LONGEST) return this.giveUp(remexError('USAGE', `the answer is longer than ${LONGEST} characters`))
    if (typed !== '') this.write(typed)
    if (at !== -1) this.#finish(text.charAt(at))
  }

  #finish(key: string): void {
    this.#answered = true
    if (key === '\r' || key === '\n') return void this.write('\r')
    this.interrupted = key === '\u0003'
    this.giveUp(unanswered())
  }
}

function unanswered(cause?: unknown): RemexError {
  return remexError('CANCELLED', 'the question was not answered', { hint: '', cause })
}

const SHOW_CURSOR = '\u001b[?25h'
const COLOURS = /\u001b\[[\d;]*m/g

/** Our stderr for the library, with colours only where they are wanted. */
function screen({ stderr, globals }: Door): Writable {
  const write = (text: string, _: BufferEncoding, done: () => void): void => {
    void stderr.write(globals.color ? text : text.replaceAll(COLOURS, ''))
    done()
  }
  // A terminal that does not know its size says 0, and the library would give each character a line of its own.
  return Object.assign(new Writable({ decodeStrings: false, write }), { columns: stderr.columns > 0 ? stderr.columns : 80 })
}
