import type { Settings } from '../config/types.ts'
import { parseDurationMs } from '../core/duration.ts'
import type { RemexError } from '../core/errors.ts'
import { fingerprint } from '../core/host-key.ts'
import { TransferResult, type TransferFacts } from '../core/transfer-result.ts'
import type { Retried } from '../session/retry.ts'
import type { Receipt } from '../transfer/receipt.ts'
import type { ConnectionInfo } from '../transport/contract.ts'
import { decideAttempts, wrongType } from './invocation.ts'
import type { TransferRequest } from './requests.ts'

/** Options of a transfer with everything decided. */
export interface DecidedTransfer {
  readonly attempts: number
  /** `Infinity` for none. */
  readonly timeoutMs: number
}

/** Fills in what the options leave open. Throws `USAGE` naming the path or the option that is wrong. */
export function decideTransfer({ local, remote, options: { timeout, retries } }: TransferRequest, settings: Settings): DecidedTransfer {
  for (const [what, path] of Object.entries({ 'the local path': local, 'the remote path': remote })) if (typeof path !== 'string') throw wrongType(what, path, 'text')
  return { attempts: decideAttempts(retries, settings), timeoutMs: parseDurationMs(timeout ?? 'none', 'timeout') }
}

/** How one attempt went: a receipt, or why there is none. */
export type TransferAttempt = { readonly receipt: Receipt; readonly error?: undefined } | { readonly receipt?: undefined; readonly error: RemexError }

interface About {
  readonly vmId: string
  readonly request: TransferRequest
  readonly startMs: number
  readonly now: { readonly monotonicMs: number; readonly wallMs: number }
  readonly connection: ConnectionInfo | undefined
}

/** What the caller and the log are told of a transfer. */
export function transferReport({ outcome, attempts }: Omit<Retried<TransferAttempt>, 'failures'>, about: About): TransferResult {
  const { receipt, error = null } = outcome
  return new TransferResult({ ...origin(about), ...content(receipt), attempts, error })
}

function origin({ vmId, request, startMs, now, connection }: About): Omit<TransferFacts, keyof ReturnType<typeof content> | 'attempts' | 'error'> {
  return {
    vmId,
    operation: request.operation,
    local: request.local,
    remote: request.remote,
    executionTime: Math.round((now.monotonicMs - startMs) * 1000) / 1e6,
    timestamp: new Date(now.wallMs).toISOString(),
    engine: connection?.engine ?? null,
    hostKey: connection ? fingerprint(connection.hostKey.blob) : null,
  }
}

function content(receipt: Receipt | undefined): Pick<TransferFacts, 'sizeBytes' | 'sha256' | 'verified' | 'mode' | 'resumedFromBytes'> {
  if (!receipt) return { sizeBytes: null, sha256: null, verified: false, mode: null, resumedFromBytes: 0 }
  const { sizeBytes, sha256, verified, mode, resumedFromBytes } = receipt
  return { sizeBytes, sha256, verified, mode, resumedFromBytes }
}
