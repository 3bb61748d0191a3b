import type { RemexError } from './errors.ts'

/** What a {@link TransferResult} is made of. */
export interface TransferFacts {
  readonly vmId: string
  readonly operation: 'upload' | 'download'
  /** Path here, as given. */
  readonly local: string
  /** Path on the host, as given. */
  readonly remote: string
  /** Null when it failed; the same for the next three. */
  readonly sizeBytes: number | null
  /** Hexadecimal. */
  readonly sha256: string | null
  /** Whether both ends were compared by SHA-256. */
  readonly verified: boolean
  /** Permission bits of what was written. */
  readonly mode: number | null
  readonly resumedFromBytes: number
  /** Seconds from the call to the end. */
  readonly executionTime: number
  /** When it ended, ISO 8601 in UTC with milliseconds. */
  readonly timestamp: string
  readonly attempts: number
  readonly engine: string | null
  /** `SHA256:` fingerprint of the host's key; null when there was no connection. */
  readonly hostKey: string | null
  readonly error: RemexError | null
}

/** The receipt of a transfer, or why there is none. Serialises to the `--json` form. */
export class TransferResult implements TransferFacts {
  declare readonly vmId: string
  declare readonly operation: 'upload' | 'download'
  declare readonly local: string
  declare readonly remote: string
  declare readonly sizeBytes: number | null
  declare readonly sha256: string | null
  declare readonly verified: boolean
  declare readonly mode: number | null
  declare readonly resumedFromBytes: number
  declare readonly executionTime: number
  declare readonly timestamp: string
  declare readonly attempts: number
  declare readonly engine: string | null
  declare readonly hostKey: string | null
  declare readonly error: RemexError | null

  constructor(facts: TransferFacts) {
    Object.assign(this, facts)
  }

  get success(): boolean {
    return this.error === null
  }

  /** The object of `--json`; field names are stable. */
  toJSON(): Record<string, unknown> {
    return {
      vm_id: this.vmId,
      operation: this.operation,
      local: this.local,
      remote: this.remote,
      size_bytes: this.sizeBytes,
      sha256: this.sha256,
      verified: this.verified,
      mode: this.mode === null ? null : this.mode.toString(8).padStart(4, '0'),
      resumed_from_bytes: this.resumedFromBytes,
      success: this.success,
      execution_time: this.executionTime,
      timestamp: this.timestamp,
      attempts: this.attempts,
      engine: this.engine,
      host_key: this.hostKey,
      error: this.error,
    }
  }
}
