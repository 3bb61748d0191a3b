import { RemexError, remexError } from '../core/errors.ts'

/** `error` with the words that a temporary file may still be at `where`. Code and hint stay. */
export function leftBehind(error: unknown, where: string): unknown {
  if (!(error instanceof RemexError)) return error
  const { code, message, hint, vmId, mayHaveRun, result } = error
  return remexError(code, `${message}; a temporary file may be left behind, ${where}`, { hint, vmId, mayHaveRun, result, cause: error })
}
