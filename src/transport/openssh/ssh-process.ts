import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile, truncate } from 'node:fs/promises'
import { connect, createServer, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { atMost } from '../timer.ts'
import { sshArguments, type Start } from './arguments.ts'
import type { Place } from './place.ts'
import { Transcript } from './transcript.ts'

/** What is around a start of `ssh`. */
export interface Around {
  readonly env: Pick<NodeJS.ProcessEnv, string>
  /** More of it, for a password to be asked. */
  readonly asking: Readonly<Record<string, string>> | undefined
  readonly place: Place
  /** The way to the host, open and not read yet; undefined: ssh finds one by its settings. */
  readonly stream: Duplex | undefined
}

/** Two lines a run come together in this time. */
const EMPTYING_MS = 60_000

/** How long what it said is waited for when it has ended. */
const LAST_WORDS_MS = 1000

/** More than a line of what others say is of no use in a message. */
const MOST_OF_OTHERS = 1000

/**
 * An `ssh` that was started: it connects and logs in, and its first process ends with 0 when it stays in the background as a master,
 * or with something else when it did not come to that. Source: ssh(1), -f.
 */
export class SshProcess {
  readonly transcript = new Transcript()
  /** The exit status of the first process; rejects where it cannot be started. */
  readonly left: Promise<number | null>
  /** Settles when nobody can say anything any more: the master is gone too. */
  readonly silent: Promise<void>
  readonly #child: ChildProcess
  /** The file that it writes to in place of its standard error. */
  readonly #log: string | undefined
  #logBytes = 0
  #others = ''
  #isLeft = false
  #emptying: NodeJS.Timeout | undefined

  private constructor(child: ChildProcess, log: string | undefined) {
    this.#child = child
    this.#log = log
    this.left = new Promise((resolve, reject) => {
      child.once('exit', (code) => {
        this.#isLeft = true
        this.#hearOut(code).then(() => resolve(code), reject)
      })
      child.once('error', reject)
    })
    this.silent = new Promise((resolve) => child.stderr?.once('close', () => resolve()))
    child.stderr?.setEncoding('latin1').on('data', (chunk: string) => {
      if (log !== undefined) this.#others = `${this.#others}${chunk}`.slice(-MOST_OF_OTHERS)
      else this.#heard(chunk)
    })
  }

  /** The last that programs said which ssh started on the way to the host; empty where there were none. */
  get others(): string {
    return this.#others.trim().split('\n').at(-1)?.trim() ?? ''
  }

  /** Reads on in the file that it writes to, where that is where it speaks. */
  async gather(): Promise<void> {
    if (this.#log === undefined) return
    const text = await readFile(this.#log, 'latin1').catch(() => '')
    this.#heard(text.slice(this.#logBytes))
    this.#logBytes = text.length
  }

  /** From now on only the end of what it says counts. A file that it writes to is emptied from time to time. */
  settle(): void {
    this.transcript.settle()
    const log = this.#log
    if (log === undefined) return
    const empty = async (): Promise<void> => {
      await truncate(log).catch(() => undefined)
      this.#logBytes = 0
    }
    this.#emptying = setInterval(() => void empty(), EMPTYING_MS)
    this.#emptying.unref()
  }

  /**
   * Where many end at once, its end is told before what it said last. One that failed takes its standard error with it, unless what it
   * started holds that; one that stays in the background has said by then that it has keys.
   */
  async #hearOut(status: number | null): Promise<void> {
    const { transcript } = this
    if (status !== 0) await atMost(LAST_WORDS_MS, this.silent)
    else if (this.#log === undefined) await transcript.until(() => transcript.phase === 'login', LAST_WORDS_MS)
    await this.gather()
  }

  #heard(text: string): void {
    this.transcript.add(text)
    if (this.transcript.isFull) this.end()
  }

  /** Starts it. Nothing of our environment reaches it but what it needs, unless its own settings count. */
  static async start(start: Start, { env, asking, place, stream }: Around): Promise<SshProcess> {
    const link = stream instanceof Socket ? stream : stream && (await linkTo(stream, place.path(place.link)))
    const way = link ?? 'ignore'
    const child = spawn('ssh', sshArguments(start), {
      cwd: place.directory,
      env: start.target.sshConfig ? { ...env, ...asking, LC_ALL: 'C' } : { PATH: env['PATH'], HOME: env['HOME'], ...asking, LC_ALL: 'C' },
      stdio: [way, way, 'pipe'],
      // A group of its own: Ctrl-C is for us, and what ssh starts can be ended with it.
      detached: true,
    })
    // It has a copy of its own.
    link?.destroy()
    const { log } = start.names
    return new SshProcess(child, log === undefined ? undefined : place.path(log))
  }

  /** Ends it as soon as it says such a line. */
  endWhen(isSaid: (line: string) => boolean): void {
    void this.transcript.until(() => this.transcript.messages.some(isSaid), Infinity).then(() => this.end())
  }

  /** Ends it before it is a master; afterwards this closes our ears only. */
  end(): void {
    const { pid } = this.#child
    if (!this.#isLeft && pid !== undefined) kill(-pid, 'SIGKILL')
    clearInterval(this.#emptying)
    this.#child.stderr?.destroy()
  }
}

/** Sends a signal to whom there may be nobody any more. */
export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It is gone already, which was the aim.
  }
}

/** A socket for a child, whatever comes and goes on `stream`: a child can be given nothing but the system's own. */
async function linkTo(stream: Duplex, path: string): Promise<Socket> {
  const server = createServer({ pauseOnConnect: true })
  server.listen(path)
  await once(server, 'listening')
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
  const ours = connect(path)
  const theirs = await accepted
  server.close()
  stream.on('error', () => undefined).once('close', () => ours.destroy())
  ours.on('error', () => undefined).once('close', () => stream.destroy())
  stream.pipe(ours)
  ours.pipe(stream)
  return theirs
}
