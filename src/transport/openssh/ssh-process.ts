import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
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
  #isLeft = false

  private constructor(child: ChildProcess) {
    this.#child = child
    this.left = new Promise((resolve, reject) => {
      child.once('exit', (code) => {
        this.#isLeft = true
        resolve(code)
      })
      child.once('error', reject)
    })
    this.silent = new Promise((resolve) => child.stderr?.once('close', () => resolve()))
    child.stderr?.setEncoding('latin1').on('data', (chunk: string) => {
      this.transcript.add(chunk)
      if (this.transcript.isFull) this.end()
    })
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
    return new SshProcess(child)
  }

  /** Ends it as soon as it says such a line. */
  endWhen(isSaid: (line: string) => boolean): void {
    void this.transcript.until(() => this.transcript.messages.some(isSaid), Infinity).then(() => this.end())
  }

  /** Ends it before it is a master; afterwards this closes our ears only. */
  end(): void {
    const { pid } = this.#child
    if (!this.#isLeft && pid !== undefined) kill(-pid, 'SIGKILL')
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
