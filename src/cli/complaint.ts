import type { RemexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import type { Door } from './door.ts'

/** What is known around an error, for --verbose. */
export interface Circumstances {
  readonly attempts?: number
  readonly engine?: string | null
  /** Whether to leave the hint out, where many hosts have the same. Default: false. */
  readonly withoutHint?: boolean
}

const DEEPEST_CAUSE = 5

/** Tells a person of an error on stderr: what happened, what to do next, and with --verbose what it came from. */
export function complain(door: Pick<Door, 'globals' | 'stderr'>, error: RemexError, around: Circumstances = {}): void {
  for (const line of complaintLines(error, { ...around, verbose: door.globals.verbose })) void door.stderr.line(line)
}

/** The lines of {@link complain}. */
export function complaintLines(error: RemexError, around: Circumstances & { readonly verbose: boolean }): string[] {
  const [first = '', ...more] = error.message.split('\n').map(printable)
  const vmId = printable(error.vmId ?? '')
  const about = vmId === '' || first.startsWith(`${vmId} `) || first.startsWith(`${vmId}:`) ? '' : `${vmId}: `
  const hint = around.withoutHint || error.hint === '' ? [] : error.hint.split('\n').map((line) => `  ${printable(line)}`)
  return [`remex: ${about}${first}`, ...more, ...hint, ...(around.verbose ? detailLines(error, around) : [])]
}

function detailLines(error: RemexError, { attempts, engine }: Circumstances): string[] {
  const facts = [
    `code ${error.code}`,
    ...(attempts === undefined ? [] : [`attempts ${attempts}`]),
    ...(engine ? [`engine ${printable(engine)}`] : []),
    ...(error.mayHaveRun ? ['the command may have run'] : []),
  ]
  // A stack is for whoever mends Remex; a user's mistake has none.
  const stack = error.code === 'INTERNAL' ? stackLines(error.cause ?? error) : []
  return [`  ${facts.join(', ')}`, ...causeLines(error), ...stack]
}

function causeLines(error: Error): string[] {
  const lines: string[] = []
  for (let cause = error.cause; cause instanceof Error && lines.length < DEEPEST_CAUSE; cause = cause.cause) {
    lines.push(`  caused by ${printable(`${cause.name}: ${cause.message}`)}`)
  }
  return lines
}

function stackLines(error: unknown): string[] {
  const stack = error instanceof Error ? (error.stack ?? '') : ''
  return stack.split('\n').slice(1).map((line) => `  ${printable(line.trim())}`)
}
