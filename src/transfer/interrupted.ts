import { RemexError, remexError } from '../core/errors.ts'
import type { ErrorCode } from '../core/errors.ts'

/** How far a transfer was when it failed. */
export interface Standing {
  readonly doneBytes: number
  /** Undefined where it is not known. */
  readonly totalBytes: number | undefined
  /** Whether the caller asked for transfers that go on where the last one stood. */
  readonly resume: boolean
}

/** What ends a transfer from outside: its content was right so far. */
const INTERRUPTIONS: readonly ErrorCode[] = ['CANCELLED', 'TIMED_OUT', 'CONNECTION_LOST']
/** Below this, going on saves nothing, and an interrupted transfer had better leave nothing. */
const WORTH_KEEPING_BYTES = 1024 * 1024

/** Whether what an interrupted transfer wrote is to be left for one that goes on there. */
export function isWorthKeeping(error: unknown, { doneBytes, resume }: Standing): boolean {
  if (!(error instanceof RemexError)) return false
  if (resume) return doneBytes > 0 && [...INTERRUPTIONS, 'NO_SPACE'].includes(error.code)
  return doneBytes >= WORTH_KEEPING_BYTES && INTERRUPTIONS.includes(error.code)
}

/** `error` with the words how far it came, and how to go on. Code and details stay. */
export function withStanding(error: unknown, { doneBytes, totalBytes, resume }: Standing): unknown {
  if (!(error instanceof RemexError)) return error
  const { code, message, vmId, mayHaveRun, result } = error
  const stood = totalBytes === undefined ? `${doneBytes} bytes` : `${doneBytes} of ${totalBytes} bytes`
  const hint = `The old file is untouched. ${resume ? 'Repeat it' : 'Repeat it with --resume'} to go on from there.`
  return remexError(code, `${message}; it stood at ${stood}, which are kept`, { hint, vmId, mayHaveRun, result, cause: error })
}
