import type { Readable } from 'node:stream'
import type { KillVerdict } from '../core/outcome.ts'
import type { Secret } from '../core/secret.ts'
import type { ChannelExit, PtyOptions } from '../transport/contract.ts'

/** One command for one host, with everything decided. */
export interface Invocation {
  readonly runId: string
  /** Shell text for `/bin/sh`. */
  readonly text: string
  /** Variables for the command; the values travel on standard input and are in no process list. */
  readonly env: Readonly<Record<string, string | Secret>>
  /** Directory to start in, on the host; `~` and `~/…` are the login's home. Undefined: the login's home. */
  readonly cwd: string | undefined
  /** The user to become by `sudo -n`; undefined: none. */
  readonly sudoUser: string | undefined
  readonly pty: PtyOptions | undefined
  /** Standard input; undefined: closed. */
  readonly stdin: Readable | Buffer | undefined
  /** From the exec request to the end of the command; `Infinity` for none. */
  readonly timeoutMs: number
  /** Capture limit of each stream; more is counted. */
  readonly maxOutputBytes: number
  /** Whether the command may be started again after it may have run. */
  readonly idempotent: boolean
  /** How often to try, 1 or more. */
  readonly attempts: number
  /** Gets every byte as it arrives; a promise holds the stream back until it settles. */
  readonly onOutput: OutputListener | undefined
  /** Cancels: ends the command on the host. */
  readonly signal: AbortSignal | undefined
  /** Whether the signal counts only until the command is sent: what it begins is not to be stopped halfway. Default: false. */
  readonly unstoppable?: boolean
}

/** Receives live output. */
export type OutputListener = (stream: 'stdout' | 'stderr', chunk: Buffer) => void | Promise<void>

/** How one attempt on one channel ended. */
export type AttemptEnd =
  | { readonly kind: 'exited'; readonly exitCode: number }
  | { readonly kind: 'signaled'; readonly signal: string }
  | { readonly kind: 'timed_out' | 'cancelled'; readonly killed: KillVerdict }
  /** `after`: how the process ended, where that had come and not all of its output. */
  | { readonly kind: 'lost'; readonly after?: Exclude<ChannelExit, { readonly kind: 'lost' }> }
