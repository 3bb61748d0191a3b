import { pipeline } from 'node:stream/promises'
import type { Readable } from 'node:stream'
import type { Clock } from '../core/clock.ts'
import { RemexError, remexError, withDetails } from '../core/errors.ts'
import type { KillVerdict } from '../core/outcome.ts'
import type { Channel } from '../transport/contract.ts'
import type { Capture } from './capture.ts'
import { drain } from './drain.ts'
import type { AttemptEnd, Invocation } from './invocation.ts'
import { endTree, type Killer } from './kill.ts'
import { outputEnds, type Flow } from './linger.ts'
import { prelude, type Prelude } from './prelude.ts'
import { StartedMark } from './started-mark.ts'

/** A cancel can overtake the start: a kill that found nothing is repeated while the command may still appear. */
const KILL_AGAIN_MS = 250
const KILL_TRIES = 4

/** What one attempt works with. */
export interface AttemptContext {
  /** The host's id, for messages. */
  readonly vmId: string
  readonly clock: Clock
  /** Connects and sends the exec request, calling `sending` just before that. A cancel until then rejects with `CANCELLED`. */
  readonly open: (sent: Prelude, sending: () => void) => Promise<Channel>
  readonly killer: Pick<Killer, 'open'>
  readonly stdout: Capture
  readonly stderr: Capture
}

/** How an attempt ended, and whether all its output came. */
export interface AttemptReport {
  readonly end: AttemptEnd
  readonly outputIncomplete: boolean
}

/**
 * Runs a command once, on one channel, to its end: exit, signal, deadline, cancel or loss of the connection.
 * Rejects only where it certainly did not run: `CHANNEL_REFUSED`, `CONNECTION_LOST` before the request was sent,
 * `SUDO_FAILED`, or `USAGE` for a command that cannot be sent; and with what a live consumer throws or the source of
 * the input fails with, after ending the command.
 */
export async function runAttempt(invocation: Invocation, context: AttemptContext): Promise<AttemptReport> {
  const sent = prelude(invocation)
  const stop = new StopWatch(invocation, context.clock)
  try {
    const opening = context.open(sent, () => stop.start())
    const channel = await Promise.race([opening, stop.reached])
    if (channel === 'timed_out' || channel === 'cancelled') return await stopOpening(opening, channel, { invocation, context })
    return await follow({ invocation, context, channel, stop, sent })
  } finally {
    stop.clear()
  }
}

interface Following {
  readonly invocation: Invocation
  readonly context: AttemptContext
  readonly channel: Channel
  readonly stop: StopWatch
  readonly sent: Prelude
}

async function follow(following: Following): Promise<AttemptReport> {
  const { channel, invocation, sent, stop } = following
  const mark = new StartedMark(sent.startedMark)
  const reading = new Reading(following)
  const output = reading.consume(mark)
  const input = feed(channel, sent.head, invocation)
  const broken = new Promise<'broken'>((resolve) => {
    Promise.all([output, input]).catch(() => resolve('broken'))
  })
  const first = await Promise.race([channel.exit, stop.reached, broken])
  if (first === 'timed_out' || first === 'cancelled' || first === 'broken') {
    const killed = await endRun(following)
    // What a slow reader has not taken by now it does not get: a stop must not wait for it.
    const complete = await outputEnds(output.catch(() => undefined), { clock: following.context.clock, flow: { bytes: 0, held: false } })
    channel.close()
    if (first === 'broken') return rethrow(output, input)
    return { end: { kind: first, killed }, outputIncomplete: !complete }
  }
  const complete = await outputEnds(output, { clock: following.context.clock, flow: reading })
  // sshd tells of the exit before it has sent what the command wrote: the connection may break in between.
  const isBroken = complete && !channel.isOutputWhole
  channel.close()
  if (isBroken) return { end: { kind: 'lost', ...(first.kind !== 'lost' && { after: first }) }, outputIncomplete: false }
  if (!mark.seen && first.kind !== 'lost') throw sudoFailure(mark, following)
  return { end: first, outputIncomplete: !complete }
}

/** Rejects with what `output` or `input` was rejected with. */
async function rethrow(output: Promise<void>, input: Promise<void>): Promise<never> {
  await Promise.all([output, input]).catch((error: unknown) => {
    throw error instanceof RemexError ? withDetails(error, { mayHaveRun: true }) : error
  })
  throw new Error('the output or the input was expected to have failed')
}

/** The deadline or a cancel came while the server had not accepted the request yet. */
async function stopOpening(
  opening: Promise<Channel>,
  kind: 'timed_out' | 'cancelled',
  { invocation, context }: Pick<Following, 'invocation' | 'context'>,
): Promise<AttemptReport> {
  const killed = await endTree(killer(invocation, context, () => undefined))
  opening.then((channel) => channel.close(), () => undefined)
  return { end: { kind, killed }, outputIncomplete: true }
}

async function endRun({ invocation, context, channel }: Following): Promise<KillVerdict> {
  const end = killer(invocation, context, (name) => channel.signal(name))
  let verdict = await endTree(end)
  for (let tries = 1; tries < KILL_TRIES && verdict.scope === 'tree' && verdict.ended === 0 && !(await hasSettled(channel.exit)); tries++) {
    await context.clock.sleep(KILL_AGAIN_MS)
    verdict = await endTree(end)
  }
  return verdict
}

const hasSettled = (promise: Promise<unknown>): Promise<boolean> => Promise.race([promise.then(() => true), Promise.resolve(false)])

function killer(invocation: Invocation, context: AttemptContext, signalGroup: (name: string) => void): Killer {
  return { runId: invocation.runId, sudoUser: invocation.sudoUser, clock: context.clock, open: context.killer.open, signalGroup }
}

/** Takes the output of one channel: into the capture, to the live listener, past the start mark. */
class Reading implements Flow {
  readonly #following: Following
  #holding = 0

  constructor(following: Following) {
    this.#following = following
  }

  get bytes(): number {
    const { stdout, stderr } = this.#following.context
    return stdout.totalBytes + stderr.totalBytes
  }

  get held(): boolean {
    return this.#holding > 0
  }

  /** Resolves at the end of both streams; rejects with what the listener throws. */
  async consume(mark: StartedMark): Promise<void> {
    const { channel, invocation } = this.#following
    // A pty has one stream, so the mark comes in stdout.
    const marked = invocation.pty ? 'stdout' : 'stderr'
    const drained = (['stdout', 'stderr'] as const).map(async (stream) => {
      const take = (chunk: Buffer): void | Promise<void> => this.#take(stream, chunk)
      if (stream !== marked) return drain(channel[stream], take)
      await drain(channel[stream], (chunk) => mark.pass(chunk, take))
      await mark.rest(take)
    })
    await Promise.all(drained)
  }

  #take(stream: 'stdout' | 'stderr', chunk: Buffer): void | Promise<void> {
    const { context, invocation } = this.#following
    context[stream].add(chunk)
    const pending = invocation.onOutput?.(stream, chunk)
    if (!pending) return
    this.#holding++
    return pending.finally(() => this.#holding--)
  }
}

/**
 * Writes the head, then the command's own input, then the end. Input that cannot be delivered is dropped, as a closed
 * pipe does. Rejects when the source fails: no end is sent then, because what came must not look complete.
 */
async function feed(channel: Channel, head: string, { stdin }: Invocation): Promise<void> {
  if (head !== '') channel.stdin.write(head)
  if (stdin === undefined) channel.stdin.end()
  else if (Buffer.isBuffer(stdin)) channel.stdin.end(stdin)
  else await pour(stdin, channel)
}

async function pour(source: Readable, channel: Channel): Promise<void> {
  const gone = new AbortController()
  void channel.exit.then(() => gone.abort())
  try {
    await pipeline(source, channel.stdin, { signal: gone.signal })
  } catch (error) {
    if (!gone.signal.aborted) throw error
  }
}

function sudoFailure(mark: StartedMark, { invocation: { sudoUser }, context: { vmId } }: Following): Error {
  const said = mark.firstLine()
  return remexError('SUDO_FAILED', `${vmId}: sudo to ${sudoUser ?? 'root'} did not start the command${said === '' ? '' : `: ${said}`}`, { vmId })
}

/** The deadline and the cancel of one attempt: whichever comes first is the cause, and stays it. Connecting is not in its time. */
class StopWatch {
  readonly reached: Promise<'timed_out' | 'cancelled'>
  readonly #invocation: Invocation
  readonly #clock: Clock
  readonly #cancelled = (): void => this.#reach('cancelled')
  #reach: (cause: 'timed_out' | 'cancelled') => void = () => undefined
  #stopTimer: (() => void) | undefined

  constructor(invocation: Invocation, clock: Clock) {
    this.#invocation = invocation
    this.#clock = clock
    this.reached = new Promise((resolve) => (this.#reach = resolve))
  }

  /** May be called again, when the first server refused. */
  start(): void {
    if (this.#stopTimer) return
    const { timeoutMs, signal, unstoppable } = this.#invocation
    if (!unstoppable) {
      if (signal?.aborted) this.#cancelled()
      signal?.addEventListener('abort', this.#cancelled, { once: true })
    }
    this.#stopTimer = this.#clock.after(timeoutMs, () => this.#reach('timed_out'))
  }

  clear(): void {
    this.#stopTimer?.()
    this.#invocation.signal?.removeEventListener('abort', this.#cancelled)
  }
}
