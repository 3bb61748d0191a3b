import type { RunResult } from '../core/outcome.ts'
import { printable } from '../core/printable.ts'

/** What a check came to. */
export interface Finding {
  readonly ok: boolean
  /** What was seen. */
  readonly message: string
  /** What to do next; empty where there is nothing to do. */
  readonly hint: string
}

/** What to do where a command does not print or end as it must. */
export const OUTPUT_HINT = 'Something changes what commands print or how they end: mostly a start-up file of the login (.profile, .zshenv), which must be silent, or a forced command.'

/** What of a result must be so. */
export type Expected = Pick<RunResult, 'stdout' | 'stderr' | 'exitCode'>

/** How the result differs from what must be; undefined where it does not. */
export function unlike(result: RunResult, { stdout, stderr, exitCode }: Expected): Finding | undefined {
  if (result.ended !== 'exited') return notExited(result)
  if (result.exitCode !== exitCode) {
    const said = firstLine(result.stderr)
    return bad(`the exit status is ${result.exitCode ?? 'unknown'} in place of ${exitCode ?? 'none'}${said === '' ? '' : `; standard error says: ${said}`}`, OUTPUT_HINT)
  }
  if (result.stdout !== stdout) return bad(`standard output is ${shown(result.stdout)} in place of ${shown(stdout)}`, OUTPUT_HINT)
  if (result.stderr !== stderr) return bad(`standard error is ${shown(result.stderr)} in place of ${shown(stderr)}`, OUTPUT_HINT)
  return undefined
}

/** Why there is no exit status; undefined where there is one. */
export function notExited({ ended, signal, error }: RunResult): Finding | undefined {
  if (ended === 'exited') return undefined
  return bad(error?.message ?? `it ended by ${ended === 'signaled' ? `signal ${signal ?? 'unknown'}` : ended}`, error?.hint ?? OUTPUT_HINT)
}

/** It went well. */
export function good(message: string): Finding {
  return { ok: true, message, hint: '' }
}

/** It did not. */
export function bad(message: string, hint: string): Finding {
  return { ok: false, message, hint }
}

/** The first line, as a message can have it. */
export function firstLine(text: string): string {
  return printable(text.trim().split('\n')[0] ?? '').slice(0, 200)
}

/** Text as a message shows it. */
export function shown(text: string): string {
  // Its beginning: that is where start-up files print.
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 59)}…` : text)
}
