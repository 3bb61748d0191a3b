import type { RunResult } from '../../core/outcome.ts'
import { notice, type Door } from '../door.ts'
import { isLeft } from '../host-notes.ts'
import type { RunView } from '../run-report.ts'
import { Controls } from './controls.ts'
import { frameOf, hasRoom } from './frame.ts'
import { LinesPane } from './lines-pane.ts'
import { LiveTerminal } from './live-terminal.ts'
import { RunModel } from './model.ts'
import { PaneFeed } from './pane-feed.ts'
import type { Size } from './rows.ts'
import { isForeground } from './wanted.ts'

/** A run that is over before this shows no screen. */
const QUIET_MS = 300
const EVERY_MS = 100
/** The clock goes on although nothing happens. */
const CLOCK_MS = 1000

/** Shows a run on many hosts on a screen while it lasts; `inner` prints what is to be printed, and has its turn afterwards. */
export function liveView(door: Door, ids: readonly string[], inner: RunView): RunView {
  const live = new LiveView(door, ids)
  return {
    ...inner,
    onOutput: (vmId, stream, chunk) => {
      live.output(vmId, stream, chunk)
      return inner.onOutput?.(vmId, stream, chunk)
    },
    started: (vmId) => {
      live.started(vmId)
      inner.started?.(vmId)
    },
    signalOf: (vmId) => live.signalOf(vmId),
    finished: async (result) => {
      live.finished(result)
      await inner.finished(result)
    },
    close: async () => {
      await live.close()
      await inner.close?.()
    },
  }
}

class LiveView {
  readonly #door: Door
  readonly #model: RunModel
  readonly #pane = new LinesPane()
  readonly #feed = new PaneFeed(this.#pane)
  readonly #controls: Controls
  readonly #cancels = new Map<string, AbortController>()
  readonly #undo: readonly (() => void)[]
  #begin: NodeJS.Timeout | undefined
  #timer: NodeJS.Timeout | undefined
  #terminal: LiveTerminal | undefined
  #leaving: Promise<void> | undefined
  /** Reasons not to take the terminal: a question is asked, the run is over, what is printed cannot be kept. */
  #held = 0
  #isDue = false
  #isDirty = true
  #drawnMs = 0

  constructor(door: Door, ids: readonly string[]) {
    this.#door = door
    this.#model = new RunModel(ids, performance.now())
    const interrupt = (): void => void process.kill(process.pid, 'SIGINT')
    this.#controls = new Controls(this.#pane, { interrupt, cancel: (vmId) => this.#cancel(vmId), pageRows: () => Math.floor(door.stdout.rows / 2) })
    const { signal } = door.stop
    const interrupted = (): void => this.#controls.say(this.#interruptedText())
    signal.addEventListener('abort', interrupted, { once: true })
    this.#undo = [door.turns.around(() => this.#hold()), door.stdout.onResize(() => this.#resized()), () => signal.removeEventListener('abort', interrupted)]
  }

  output(vmId: string, stream: 'stdout' | 'stderr', chunk: Buffer): void {
    this.#touched(() => this.#feed.add(vmId, stream, chunk))
  }

  started(vmId: string): void {
    // Not before: until then a person may type the input.
    this.#begin ??= setTimeout(() => {
      this.#isDue = true
      this.#enter()
    }, QUIET_MS)
    this.#model.started(vmId, performance.now())
    this.#isDirty = true
  }

  finished(result: RunResult): void {
    this.#feed.end(result.vmId)
    this.#model.finished(result, performance.now(), isLeft(this.#door, result))
    this.#cancels.delete(result.vmId)
    this.#isDirty = true
  }

  /** Aborted by the key that cancels one host; a host may have it aborted before its turn comes. A durable run is not cancelled. */
  signalOf(vmId: string): AbortSignal | undefined {
    return this.#door.stop.follows ? undefined : this.#cancelOf(vmId).signal
  }

  async close(): Promise<void> {
    this.#held++
    clearTimeout(this.#begin)
    for (const undo of this.#undo) undo()
    await this.#leave()
  }

  #enter(): void {
    if (!this.#isDue || this.#held > 0 || this.#terminal || this.#leaving || !hasRoom(this.#size()) || !isForeground()) return
    try {
      this.#terminal = new LiveTerminal(this.#door, {
        onKey: (key) => this.#touched(() => this.#controls.press(key)),
        onNotice: (text) => this.#touched(() => this.#pane.add('remex', 'stderr', text)),
        onReturn: () => this.#touched(),
        onFailed: (error) => this.#failed(error),
      })
    } catch {
      // The lines are printed as they come: that needs nothing.
      this.#held++
      return
    }
    this.#isDirty = true
    this.#timer = setInterval(() => this.#tick(), EVERY_MS)
    this.#tick()
  }

  /** Something changed that is to be seen. */
  #touched(change?: () => void): void {
    change?.()
    this.#isDirty = true
  }

  #leave(): Promise<void> {
    const terminal = this.#terminal
    if (!terminal) return this.#leaving ?? Promise.resolve()
    clearInterval(this.#timer)
    this.#terminal = undefined
    this.#leaving = terminal.close().finally(() => {
      this.#leaving = undefined
      this.#enter()
    })
    return this.#leaving
  }

  /** For a question: the terminal is a plain one until it is answered. */
  async #hold(): Promise<() => void> {
    this.#held++
    await this.#leave()
    return () => {
      this.#held--
      this.#enter()
    }
  }

  #failed(error: unknown): void {
    this.#held++
    notice(this.#door, `the live view ended, its temporary file cannot be written: ${error instanceof Error ? error.message : String(error)}`)
    void this.#leave()
  }

  #resized(): void {
    this.#isDirty = true
    if (!hasRoom(this.#size())) void this.#leave()
    else if (this.#terminal) this.#terminal.forget()
    else this.#enter()
  }

  #tick(): void {
    const nowMs = performance.now()
    if (!this.#isDirty && nowMs - this.#drawnMs < CLOCK_MS) return
    this.#isDirty = false
    this.#drawnMs = nowMs
    this.#terminal?.draw(frameOf({ model: this.#model, pane: this.#pane, controls: this.#controls, nowMs }, this.#size()))
  }

  #size(): Size {
    return { columns: this.#door.stdout.columns, rows: this.#door.stdout.rows }
  }

  #cancelOf(vmId: string): AbortController {
    const known = this.#cancels.get(vmId)
    if (known) return known
    const made = new AbortController()
    this.#cancels.set(vmId, made)
    return made
  }

  /** Cancels one host, and says what comes of it. */
  #cancel(vmId: string): string {
    const state = this.#model.stateOf(vmId)
    if (state === 'unknown') return `${vmId}: no host of this run`
    if (state === 'done') return `${vmId}: done already`
    if (this.#door.stop.follows) return `${vmId}: the run is durable and outlives this; to end it: remex runs cancel <run-id> --host ${vmId}`
    this.#cancelOf(vmId).abort()
    return state === 'running' ? `${vmId}: cancelled, its processes are ended` : `${vmId}: cancelled, it will not start`
  }

  #interruptedText(): string {
    if (this.#door.stop.follows) return 'leaving; the run goes on'
    return 'interrupted: ending what runs on the hosts (once more to leave at once)'
  }
}
