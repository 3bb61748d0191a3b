import type { Ended, KillVerdict } from '../core/outcome.ts'

/**
 * One line of the log. What does not apply is left out; null is a value
 * (`exit_code` of a run that did not exit). Times are ISO 8601 in UTC, durations are seconds, sizes are bytes.
 */
export interface AuditRecord {
  /** 1 for the first record, then one more each. */
  readonly seq: number
  /** When it was asked for; the wall clock may jump, `seq` does not. */
  readonly time: string
  /** `begin`, `finish`, `denied`, `asked`, `approved`; of the log itself `repaired`, `signed`, `rotated`, `removed`, `anchored`, … */
  readonly event: string
  /** Joins `begin` and `finish` of one operation on one host; `asked` and `approved` of one request. */
  readonly op_id?: string
  readonly run_id?: string
  /** Who asked. */
  readonly user_id?: string
  /** The operating system's user that ran Remex. */
  readonly os_user?: string
  /** Process id of Remex. */
  readonly pid?: number
  readonly vm_id?: string
  readonly address?: string
  readonly login?: string
  /** Whom sudo runs it as, on the host; left out where it runs as the login. */
  readonly sudo_user?: string
  /** `run`, `script`, `upload`, `download`, `key_…`, `host_…`. */
  readonly operation?: string
  /** Redacted; its first 16 KiB. */
  readonly command?: string
  /** Only where `command` was cut: the length in bytes of the whole redacted text … */
  readonly command_bytes?: number
  /** … and its SHA-256. */
  readonly command_sha256?: string
  readonly local?: string
  readonly remote?: string
  /** Of a transfer: of whole trees, which also removes what only the target has, or which only compares. */
  readonly recursive?: boolean
  readonly delete?: boolean
  readonly dry_run?: boolean
  /** Of a step with a user's key: the fingerprint of that key. */
  readonly user_key?: string
  /** The `op_id` of the request that was approved: where a rule of the policy asks for it … */
  readonly approval?: string
  /** … who approved it, and under which user of the operating system. */
  readonly approved_by?: string
  readonly approved_by_os_user?: string
  /** Names of environment variables; never their values. */
  readonly env_names?: readonly string[]
  readonly status?: 'success' | 'error'
  readonly ended?: Ended | null
  readonly exit_code?: number | null
  readonly error_code?: string | null
  readonly execution_time?: number | null
  readonly attempts?: number
  /** Error codes of the attempts that failed before the last. */
  readonly attempt_errors?: readonly string[]
  readonly engine?: string | null
  readonly kex?: string | null
  readonly cipher?: string | null
  /** Fingerprint, `SHA256:…`. */
  readonly host_key?: string | null
  readonly stdout_bytes?: number
  readonly stderr_bytes?: number
  /** Where what the run wrote is kept, beside the log: `outputs/<day>/<SHA-256 of it>.gz`. Left out where it wrote nothing, or is not recorded. */
  readonly stdout_file?: string
  readonly stderr_file?: string
  readonly size_bytes?: number
  /** Of the content of a transfer, hex; of a tree, of the lines `<sha256>  <path>` of the files that were moved, sorted by path. */
  readonly sha256?: string | null
  /** Of a tree: how many files were moved, were the same already, were removed, and failed. */
  readonly files?: number
  readonly unchanged?: number
  readonly deleted?: number
  readonly failed?: number
  readonly killed?: KillVerdict | null
  /** Why, in words: of a denial, or of a repair. */
  readonly reason?: string
  /** On `repaired`: what was found behind the last whole record, where it was put, and its SHA-256. */
  readonly torn_bytes?: number
  readonly torn_file?: string
  readonly torn_sha256?: string
  /** On `rotated` and `removed`: the file that is meant, beside the log, and the numbers of its first and last record … */
  readonly log_file?: string
  readonly first_seq?: number
  readonly last_seq?: number
  /** … the hash of the last … */
  readonly last_hash?: string
  /** … and the earliest and the latest time in it. */
  readonly from_time?: string
  readonly to_time?: string
  /** On `outputs_removed`: recorded output of earlier days is no longer kept. `2026-01-31`. */
  readonly before_day?: string
  /** On `rotated`: the newest record up to that file's end that had been handed out as an anchor; 0 for none. */
  readonly anchored_seq?: number
  /** On `signed`, `rotated`, `removed` and `anchored`: fingerprint of the key that signed the record before … */
  readonly key?: string
  /** … and its signature, base64: proves the whole chain up to there. */
  readonly signature?: string
  /** Hash of the record before; 64 zeros in the first. */
  readonly prev: string
  /** SHA-256 of this record without this field. */
  readonly hash: string
}

/** A record as it is asked for: the chain adds `seq`, `prev` and `hash` when it is written. */
export type Draft = Omit<AuditRecord, 'seq' | 'prev' | 'hash'>

type Kind = 'text' | 'number' | 'flag' | 'texts' | 'killed'

/** Every field with its kind, in the order in which it stands in a line. */
const FIELDS: Record<keyof AuditRecord, Kind> = {
  seq: 'number',
  time: 'text',
  event: 'text',
  op_id: 'text',
  run_id: 'text',
  user_id: 'text',
  os_user: 'text',
  pid: 'number',
  vm_id: 'text',
  address: 'text',
  login: 'text',
  sudo_user: 'text',
  operation: 'text',
  command: 'text',
  command_bytes: 'number',
  command_sha256: 'text',
  local: 'text',
  remote: 'text',
  recursive: 'flag',
  delete: 'flag',
  dry_run: 'flag',
  user_key: 'text',
  approval: 'text',
  approved_by: 'text',
  approved_by_os_user: 'text',
  env_names: 'texts',
  status: 'text',
  ended: 'text',
  exit_code: 'number',
  error_code: 'text',
  execution_time: 'number',
  attempts: 'number',
  attempt_errors: 'texts',
  engine: 'text',
  kex: 'text',
  cipher: 'text',
  host_key: 'text',
  stdout_bytes: 'number',
  stderr_bytes: 'number',
  stdout_file: 'text',
  stderr_file: 'text',
  size_bytes: 'number',
  sha256: 'text',
  files: 'number',
  unchanged: 'number',
  deleted: 'number',
  failed: 'number',
  killed: 'killed',
  reason: 'text',
  torn_bytes: 'number',
  torn_file: 'text',
  torn_sha256: 'text',
  log_file: 'text',
  first_seq: 'number',
  last_seq: 'number',
  last_hash: 'text',
  from_time: 'text',
  to_time: 'text',
  before_day: 'text',
  anchored_seq: 'number',
  key: 'text',
  signature: 'text',
  prev: 'text',
  hash: 'text',
}

/** The names of all fields, in the order in which they stand in a line. */
export const FIELD_NAMES: readonly (keyof AuditRecord)[] = Object.keys(FIELDS).filter((name): name is keyof AuditRecord => name in FIELDS)

const NULLABLE: ReadonlySet<keyof AuditRecord> = new Set([
  'ended',
  'exit_code',
  'error_code',
  'execution_time',
  'engine',
  'kex',
  'cipher',
  'host_key',
  'sha256',
  'killed',
])

const IS_KIND: Record<Kind, (value: unknown) => boolean> = {
  text: (value) => typeof value === 'string',
  number: (value) => typeof value === 'number',
  flag: (value) => typeof value === 'boolean',
  texts: (value) => Array.isArray(value) && value.every((item) => typeof item === 'string'),
  killed: isKillVerdict,
}

/** The fields of `record` in the order of the log, without those that are undefined. */
export function inOrder(record: Partial<AuditRecord>): Record<string, unknown> {
  const ordered: Record<string, unknown> = {}
  for (const name of FIELD_NAMES) if (record[name] !== undefined) ordered[name] = record[name]
  return ordered
}

/**
 * Whether `value`, which came out of a file, is a record: the fields that a record must have are there, and every field
 * that is known has its type. Fields that are not known are let through; a later version may have written them.
 */
export function isRecord(value: unknown): value is AuditRecord {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const fields: Partial<Record<keyof AuditRecord, unknown>> = value
  if (!Number.isSafeInteger(fields.seq)) return false
  if ([fields.time, fields.event, fields.prev, fields.hash].includes(undefined)) return false
  return FIELD_NAMES.every((name) => isField(name, fields[name]))
}

function isField(name: keyof AuditRecord, value: unknown): boolean {
  if (value === undefined) return true
  return value === null ? NULLABLE.has(name) : IS_KIND[FIELDS[name]](value)
}

function isKillVerdict(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || !('ended' in value) || !('survivors' in value)) return false
  return typeof value.ended === 'number' && Array.isArray(value.survivors) && value.survivors.every((pid) => typeof pid === 'number')
}
