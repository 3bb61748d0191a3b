import type { RemexError } from '../core/errors.ts'

/** Whether a durable run was started on one host, and under which id. Serialises to the form of `--detach --json`. */
export class StartResult {
  readonly vmId: string
  readonly runId: string
  /** False where a run of this id was there already, and where it could not be started. */
  readonly started: boolean
  /** Why it could not be started, or is not known to be; else null. */
  readonly error: RemexError | null

  constructor({ vmId, runId, started, error }: Pick<StartResult, 'vmId' | 'runId' | 'started' | 'error'>) {
    this.vmId = vmId
    this.runId = runId
    this.started = started
    this.error = error
  }

  /** The object of `--json`; field names are stable. */
  toJSON(): Record<string, unknown> {
    return { run_id: this.runId, vm_id: this.vmId, started: this.started, error: this.error }
  }
}
