import type { FinishFields } from '../audit/log.ts'
import { Mask } from '../audit/masking/mask.ts'
import type { OutputRecording } from '../audit/output-recording.ts'
import type { Settings } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import { systemReason } from '../core/atomic-file.ts'
import type { Secret } from '../core/secret.ts'
import type { OutputListener } from '../session/invocation.ts'

/** How what passes the gate is to be done, besides what was asked. */
export interface Terms {
  /** Whether what it writes is kept beside the log. */
  readonly recordsOutput: boolean
}

/** The recording of one run, which the gate's terms ask for or not. */
export class RunRecording {
  readonly #options: RecorderOptions
  #fields: Recorded = {}

  constructor(options: RecorderOptions) {
    this.#options = options
  }

  /** What the finish record says of it, once the run is over. */
  get fields(): Recorded {
    return this.#fields
  }

  /** Gives `work` a recorder where the output is to be recorded. Rejects with what `work` rejects with; then nothing is kept. */
  async during<T>({ recordsOutput }: Terms, work: (recorder: Recorder | undefined) => Promise<T>): Promise<T> {
    if (!recordsOutput) return work(undefined)
    const recorder = await Recorder.begin(this.#options)
    try {
      const result = await work(recorder)
      this.#fields = await recorder.finish()
      return result
    } finally {
      await recorder.discard()
    }
  }
}

type Recorded = Pick<FinishFields, 'stdout_file' | 'stderr_file' | 'reason'>

/** What a recorder goes by. */
export interface RecorderOptions {
  readonly settings: Pick<Settings, 'auditPath' | 'secretPatterns'>
  readonly clock: Clock
  /** Values that must not be kept. */
  readonly secrets: readonly Secret[]
}

/** Keeps what one run writes. Where that cannot be done the run is not disturbed, and its finish record says so. */
export class Recorder {
  readonly #recording: OutputRecording
  #failure: string | undefined

  private constructor(recording: OutputRecording) {
    this.#recording = recording
  }

  /** A recorder for one run. */
  static async begin({ settings, clock, secrets }: RecorderOptions): Promise<Recorder> {
    // Only here: most runs are not recorded, and need no compression.
    const { OutputRecording } = await import('../audit/output-recording.ts')
    const mask = new Mask(secrets, settings.secretPatterns)
    return new Recorder(new OutputRecording({ directory: settings.auditPath, clock, maskOf: () => mask.stream() }))
  }

  /** A listener that records what comes, and passes it on. */
  over(listener: OutputListener | undefined): OutputListener {
    return async (stream, chunk) => {
      if (this.#failure === undefined) await this.#recording.take(stream, chunk).catch((error: unknown) => this.#fail(error))
      await listener?.(stream, chunk)
    }
  }

  /** What the finish record says of it. Called when the run is over. */
  async finish(): Promise<Recorded> {
    const files = this.#failure === undefined ? await this.#recording.finish().catch((error: unknown) => this.#fail(error)) : undefined
    return files ?? { reason: `the output was not recorded: ${this.#failure ?? 'it was given up'}` }
  }

  /** Removes what was begun. Safe to repeat, and after {@link finish}. */
  async discard(): Promise<void> {
    await this.#recording.discard()
  }

  async #fail(error: unknown): Promise<undefined> {
    this.#failure = systemReason(error)
    await this.discard()
  }
}
