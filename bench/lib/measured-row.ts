import type { Skipped } from '../../testkit/daemon.ts'
import { measure, type Row } from '../harness.ts'
import type { Failed, Outcome } from './outcomes.ts'

/** One row that fails does not take the others with it. */
export async function orFailed<T>(action: Promise<T>): Promise<T | Failed> {
  return action.catch((error: unknown) => ({ failed: error instanceof Error ? error.message : String(error) }))
}

/** Opens a row, measures it and closes it: its result, or why there is none. Rejects when it is interrupted. */
export async function measuredRow(id: string, opening: Promise<(Row & AsyncDisposable) | Skipped>, interrupted: Promise<never>): Promise<Outcome> {
  const opened = await orFailed(opening)
  if ('skipped' in opened || 'failed' in opened) return { id, ...opened }
  await using row = opened
  return { ...(await Promise.race([orFailed(measure(row)), interrupted])), id }
}
