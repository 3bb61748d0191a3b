import type { AuditRecord } from '../record.ts'

/** How it ended, in a word or two: `exit 3`, `timed_out`, an error code; undefined where a record says nothing of it. */
export function outcomeWords({ status, ended, exit_code: exitCode, error_code: errorCode }: AuditRecord): string | undefined {
  if (errorCode) return errorCode
  if (status === undefined) return undefined
  return ended === 'exited' ? `exit ${exitCode ?? '?'}` : (ended ?? status)
}

/** What was done: the command, the paths, or the reason; empty where a record says nothing of it. */
export function subjectWords({ command, local, remote, operation, reason, log_file: file, host_key: hostKey, user_key: userKey }: AuditRecord): string {
  if (command !== undefined) return command
  if (local !== undefined || remote !== undefined) return operation === 'download' ? `${remote ?? ''} -> ${local ?? ''}` : `${local ?? ''} -> ${remote ?? ''}`
  return reason ?? file ?? (operation?.startsWith('host_') ? (hostKey ?? '') : (userKey ?? ''))
}

/** The record as one sentence: `finish: run on vm01 by alice, exit 0: df -h`. */
export function sentenceOf(record: AuditRecord): string {
  const { event, operation, vm_id: host, user_id: user, reason } = record
  const outcome = outcomeWords(record)
  const subject = subjectWords(record)
  const about = [operation, host && `on ${host}`, user && `by ${user}`].filter((part) => part !== undefined && part !== '').join(' ')
  const head = [about, outcome].filter((part) => part !== undefined && part !== '').join(', ')
  return [event, head, subject, reason === subject ? undefined : reason].filter((part) => part !== undefined && part !== '').join(': ')
}
