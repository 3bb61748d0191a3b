import type { Settings } from '../config/types.ts'
import { parseDurationMs } from '../core/duration.ts'
import { remexError, type RemexError } from '../core/errors.ts'
import { TransferResult, type TransferFacts } from '../core/transfer-result.ts'
import type { Retried } from '../session/retry.ts'
import type { Receipt } from '../transfer/receipt.ts'
import type { Step } from '../transfer/tree/entry.ts'
import type { Manifest } from '../transfer/tree/manifest.ts'
import type { TreeTally } from '../transfer/tree/move-tree.ts'
import type { ConnectionInfo } from '../transport/contract.ts'
import { decideAttempts, wrongType } from './invocation.ts'
import type { TransferRequest, TreeChange } from './requests.ts'

/** Options of a transfer with everything decided. */
export interface DecidedTransfer {
  readonly attempts: number
  /** `Infinity` for none. */
  readonly timeoutMs: number
}

/** Options that mean nothing without a tree. */
const OF_TREES = ['delete', 'rules', 'dryRun'] as const

/** Fills in what the options leave open. Throws `USAGE` naming the path or the option that is wrong. */
export function decideTransfer({ local, remote, options }: TransferRequest, settings: Settings): DecidedTransfer {
  const { timeout, retries, recursive, limitRate } = options
  for (const [what, path] of Object.entries({ 'the local path': local, 'the remote path': remote })) if (typeof path !== 'string') throw wrongType(what, path, 'text')
  for (const name of OF_TREES) if (!recursive && options[name] !== undefined && options[name] !== false) throw remexError('USAGE', `${name} is for trees: it needs recursive`)
  if (limitRate !== undefined && !(limitRate > 0)) throw remexError('USAGE', `limitRate: ${String(limitRate)} is not a number of bytes per second above 0`)
  return { attempts: decideAttempts(retries, settings), timeoutMs: parseDurationMs(timeout ?? 'none', 'timeout') }
}

/** How one attempt went: a receipt, null for a tree, or why there is none. */
export type TransferAttempt = { readonly receipt: Receipt | null; readonly error?: undefined } | { readonly receipt?: undefined; readonly error: RemexError }

/** What is known of a tree, over all attempts. */
export interface TreeRecord {
  readonly manifest: Manifest
  readonly tally: TreeTally
}

interface About {
  readonly vmId: string
  readonly request: TransferRequest
  readonly tree: TreeRecord | undefined
  readonly startMs: number
  readonly now: { readonly monotonicMs: number; readonly wallMs: number }
  readonly connection: ConnectionInfo | undefined
}

/** What the caller and the log are told of a transfer. */
export function transferReport({ outcome, attempts }: Omit<Retried<TransferAttempt>, 'failures'>, about: About): TransferResult {
  const { receipt, error = null } = outcome
  const moved = about.tree ? ofTree(about.tree, about.request) : ofFile(receipt ?? undefined)
  return new TransferResult({ ...origin(about), ...moved, attempts, error })
}

type Moved = Pick<TransferFacts, 'sizeBytes' | 'sha256' | 'verified' | 'mode' | 'resumedFromBytes' | 'tree'>

function origin({ vmId, request, startMs, now, connection }: About): Omit<TransferFacts, keyof Moved | 'attempts' | 'error'> {
  return {
    vmId,
    operation: request.operation,
    local: request.local,
    remote: request.remote,
    executionTime: Math.round((now.monotonicMs - startMs) * 1000) / 1e6,
    timestamp: new Date(now.wallMs).toISOString(),
    engine: connection?.engine ?? null,
    hostKey: connection ? connection.hostKey.fingerprint : null,
  }
}

function ofFile(receipt: Receipt | undefined): Moved {
  if (!receipt) return { sizeBytes: null, sha256: null, verified: false, mode: null, resumedFromBytes: 0, tree: null }
  const { sizeBytes, sha256, verified, mode, resumedFromBytes } = receipt
  return { sizeBytes, sha256, verified, mode, resumedFromBytes, tree: null }
}

function ofTree({ manifest, tally }: TreeRecord, { options }: TransferRequest): Moved {
  const { sizeBytes } = manifest
  return { sizeBytes, sha256: manifest.sha256(), verified: !options.insecureSkipVerify && !options.dryRun, mode: null, resumedFromBytes: 0, tree: { ...tally, files: manifest } }
}

/** Tells `onChange` what a step of a dry run would do, if it would do anything. */
export function tellChange(step: Step, onChange: ((change: TreeChange) => void) | undefined): void {
  const change = changeOf(step)
  if (change !== undefined) onChange?.(change)
}

function changeOf(step: Step): TreeChange | undefined {
  const { path } = step
  switch (step.kind) {
    case 'file':
      return { action: 'send', path, sizeBytes: step.entry.sizeBytes }
    case 'directory':
      return step.existing === null ? { action: 'make_directory', path, sizeBytes: undefined } : undefined
    case 'link':
      return { action: 'link', path, sizeBytes: undefined }
    case 'extra':
      return { action: 'delete', path, sizeBytes: undefined }
    case 'skipped':
      return { action: 'skip', path, sizeBytes: undefined }
    case 'failed':
      return { action: 'fail', path, sizeBytes: undefined }
    case 'same':
    case 'leave':
      return undefined
  }
}
