import type { Command } from 'commander'
import { asRemexError, ERRORS, remexError, type RemexError } from '../core/errors.ts'
import { complain } from './complaint.ts'
import type { Action, Door } from './door.ts'
import { readGlobals, type Globals } from './globals.ts'
import { BROKEN_PIPE, Interruption } from './interruption.ts'
import { isPrinted, makeProgram } from './program.ts'
import { Sink, type OnGone } from './sink.ts'
import { Turns } from './turns.ts'

/** The exit status of everything that Remex could not do. */
const CANNOT = 125

/** What a process gives its command line. */
export interface Surroundings {
  /** Without node and the script. */
  readonly argv: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
}

/**
 * Does what the command line asks for; resolves with the exit status once all output has left. Errors are told on
 * stderr, or with --json on stdout.
 */
export async function runCommandLine(surroundings: Surroundings): Promise<number> {
  const session = new CommandLine(surroundings)
  const status = await session.run()
  await session.flush()
  // What failed while the last of the output left counts too.
  return session.finalStatus(status)
}

class CommandLine {
  readonly #surroundings: Surroundings
  readonly #stdout: Sink
  readonly #stderr: Sink
  readonly #stop: Interruption
  readonly #head: readonly string[]
  readonly #words: readonly string[] | undefined
  #status = 0
  #globals: Globals
  #outputError: RemexError | undefined

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings
    this.#stop = new Interruption((text) => void this.#stderr.line(`remex: ${text}`))
    this.#stdout = new Sink(surroundings.stdout, this.#outputGone)
    // Without a stderr there is nobody to tell.
    this.#stderr = new Sink(surroundings.stderr, () => undefined)
    const { head, words } = splitWords(surroundings.argv)
    this.#head = head
    this.#words = words
    // As far as it can be known before the command line is understood: an error of it is to be told in the right form.
    this.#globals = { config: undefined, user: undefined, json: head.includes('--json'), quiet: false, verbose: head.includes('--verbose'), color: false }
  }

  async run(): Promise<number> {
    this.#stop.listen()
    const program = makeProgram({ start: (command, action) => this.#start(command, action), print: (text) => void this.#stdout.write(text) })
    try {
      if (this.#head.length === 0 && this.#words === undefined) return this.#nothingAsked(program)
      await program.parseAsync([...this.#head], { from: 'user' })
      return this.#status
    } catch (error) {
      if (isPrinted(error)) return 0
      return this.#failed(asRemexError(error))
    }
  }

  async flush(): Promise<void> {
    await this.#stdout.flush()
    await this.#stderr.flush()
  }

  finalStatus(status: number): number {
    if (this.#outputError) return this.#failed(this.#outputError)
    return this.#stop.status ?? status
  }

  async #start(command: Command, action: Action): Promise<void> {
    const { env } = this.#surroundings
    this.#globals = readGlobals(command, env)
    const door: Door = { globals: this.#globals, stdout: this.#stdout, stderr: this.#stderr, stop: this.#stop, turns: new Turns(), env, words: this.#words }
    this.#status = await action(door)
  }

  #nothingAsked(program: Command): number {
    void this.#stderr.write(program.helpInformation())
    return CANNOT
  }

  #failed(error: RemexError): number {
    // What an interruption made fail is no news.
    if (this.#stop.status !== undefined && error.code === 'CANCELLED') return this.#stop.status
    if (this.#globals.json) void this.#stdout.line(JSON.stringify({ error }))
    else complain({ globals: this.#globals, stderr: this.#stderr }, error)
    return ERRORS[error.code].exitStatus
  }

  readonly #outputGone: OnGone = (reason) => {
    if (reason === 'broken') return this.#stop.cancel(BROKEN_PIPE)
    this.#outputError = remexError('PERMISSION_DENIED', `the output cannot be written: ${reason.message}`, {
      hint: 'Check where standard output goes.',
      cause: reason,
    })
    this.#stop.cancel(CANNOT)
  }
}

/** Commands that take words behind `--`; for all others it only ends the options, as usual. */
const WITH_WORDS = new Set(['run', 'script', 'policy'])
/** Global options that can stand before the command and take a value. */
const WITH_VALUE = new Set(['--config', '--user'])

/**
 * Takes the words behind the first `--` away from the options, so that none of them can be mistaken for one; and gives
 * a bare `--sudo` the value that it stands for, or it would take the next word as the user.
 */
function splitWords(argv: readonly string[]): { head: readonly string[]; words: readonly string[] | undefined } {
  const at = argv.indexOf('--')
  const head = at === -1 ? argv : argv.slice(0, at)
  if (!WITH_WORDS.has(commandName(head) ?? '')) return { head: argv, words: undefined }
  return { head: head.map((word) => (word === '--sudo' ? '--sudo=root' : word)), words: at === -1 ? undefined : argv.slice(at + 1) }
}

function commandName(head: readonly string[]): string | undefined {
  return head.find((word, index) => !word.startsWith('-') && !WITH_VALUE.has(head[index - 1] ?? ''))
}
