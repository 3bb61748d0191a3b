import { constants } from 'node:os'
import { ERRORS } from '../core/errors.ts'
import type { RunResult } from '../core/outcome.ts'
import type { TransferResult } from '../core/transfer-result.ts'

/** Exit status of a run on one host. */
export function runStatus(result: RunResult): number {
  // Also where the command did exit, but the audit log could not be told: that must not pass unnoticed.
  if (result.error) return ERRORS[result.error.code].exitStatus
  if (result.ended === 'exited') return result.exitCode ?? 125
  const number = signalNumber(result.signal ?? '')
  return number === undefined ? 125 : 128 + number
}

/** Exit status of a transfer with one host. */
export function transferStatus({ error }: TransferResult): number {
  return error ? ERRORS[error.code].exitStatus : 0
}

/** The number of a signal by its SSH name (`TERM`); undefined for one that this system does not have. */
function signalNumber(name: string): number | undefined {
  return Object.entries(constants.signals).find(([known]) => known === `SIG${name}`)?.[1]
}
