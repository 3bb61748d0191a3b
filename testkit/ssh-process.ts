import { spawn, type ChildProcess, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { constants } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import type { ServerChannel } from 'ssh2'
import { sendOutput } from './channel-output.ts'
import { signalProcess } from './processes.ts'

/** What to start. */
export interface ProcessPlan {
  /** Settles when the client has closed the channel or lost its connection. */
  readonly gone: Promise<void>
  readonly file: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  /** Whether its process group is killed when the client is gone. */
  readonly killWhenGone: boolean
  /** Called when the process has shown that it runs: at its first output or its end. */
  readonly onStarted: (() => void) | undefined
}

/** A process that serves a channel. */
export interface ServedProcess {
  readonly pid: number | undefined
  /** Signals the process group. The name is SSH's: `TERM`. Unknown names are ignored. Source: RFC 4254 section 6.10. */
  signal(name: string): void
}

const SIGNALS = new Set(['ABRT', 'ALRM', 'FPE', 'HUP', 'ILL', 'INT', 'KILL', 'PIPE', 'QUIT', 'SEGV', 'TERM', 'USR1', 'USR2'])
/** As a shell says that it found nothing to run. */
const CANNOT_START = 127

/**
 * Starts a process in a session of its own and connects it to `channel` as sshd does: exit status as soon as the process
 * has ended, the end of the channel when nobody holds its output open any more. When the client closes the channel the
 * process loses its pipes, and is not ended.
 */
export function serveProcess(channel: ServerChannel, plan: ProcessPlan): ServedProcess {
  const child = spawn(plan.file, plan.args, { cwd: plan.cwd, env: plan.env, detached: true, stdio: ['pipe', 'pipe', 'pipe'] })
  channel.on('error', () => channel.destroy())
  void plan.gone.then(() => letGo(child, plan))
  if (plan.onStarted) {
    child.stdout.once('readable', plan.onStarted)
    child.once('exit', plan.onStarted)
  }
  feed(channel, child.stdin)
  reportExit(channel, child)
  void sendAll(channel, child)
  return { pid: child.pid, signal: (name) => signalGroup(child, name) }
}

function letGo(child: ChildProcess, plan: ProcessPlan): void {
  if (plan.killWhenGone) signalGroup(child, 'KILL')
  for (const stream of child.stdio) stream?.destroy()
}

/** Client's bytes to the process; what comes after it stopped reading is discarded, as sshd does. */
function feed(source: Readable, sink: Writable): void {
  sink.on('error', () => undefined)
  sink.once('close', () => {
    source.unpipe(sink)
    source.resume()
  })
  source.pipe(sink)
}

function reportExit(channel: ServerChannel, child: ChildProcess): void {
  child.once('error', (error) => {
    channel.stderr.write(`${error.message}\n`)
    channel.exit(CANNOT_START)
    channel.end()
  })
  child.once('exit', (code, signal) => {
    if (signal === null) channel.exit(code ?? CANNOT_START)
    else if (SIGNALS.has(signal.slice(3))) channel.exit(signal.slice(3))
    // RFC 4254 has no name for the others (BUS, SYS, …), and ssh2 throws for them: as a shell tells it.
    else channel.exit(128 + constants.signals[signal])
  })
}

async function sendAll(channel: ServerChannel, child: ChildProcessWithoutNullStreams): Promise<void> {
  const exited = new Promise((resolve) => child.once('exit', resolve))
  await Promise.all([exited, sendOutput(channel, child.stdout, child.stderr)])
  channel.end()
}

function signalGroup(child: ChildProcess, name: string): void {
  const bare = name.replace(/^SIG/, '')
  // After the exit the id may belong to somebody else.
  const running = child.exitCode === null && child.signalCode === null
  if (running && child.pid !== undefined && SIGNALS.has(bare)) signalProcess(-child.pid, `SIG${bare}` as NodeJS.Signals)
}
