import { posix } from 'node:path'
import type { AuditRecord } from '../record.ts'

/** What a record is in OCSF: a class, one of its activities, and the attributes that only this class has. */
export interface OcsfActivity {
  readonly classUid: 1001 | 1007 | 1008 | 3004
  readonly activityId: number
  /** The name of an activity that the class has no number for. */
  readonly activityName?: string
  readonly attributes: Readonly<Record<string, unknown>>
  /** The fields of the record that are in the attributes. */
  readonly mapped: readonly (keyof AuditRecord)[]
}

const OTHER = 99
const PROCESS = { launch: 1, terminate: 2, unknown: 0 }
const FILE = { read: 2, update: 3, getAttributes: 8 }
const FILE_TYPE = { unknown: 0, regular: 1, folder: 2 }
const ENTITY = { create: 1, read: 2, update: 3, delete: 4, move: 5, enroll: 6, unenroll: 7 }
const ENTITY_TYPE = { device: 1, other: 99 }
const APPLICATION_LOG = 2
const SHA_256 = 3

/** What is done to a host, a key or a durable run, and to which of them. */
const STEPS: Readonly<Record<string, readonly ['host' | 'key' | 'run', number]>> = {
  host_check: ['host', ENTITY.read],
  host_inspect: ['host', ENTITY.read],
  host_trust: ['host', ENTITY.enroll],
  host_forget: ['host', ENTITY.unenroll],
  host_rotate: ['host', ENTITY.update],
  key_list: ['key', ENTITY.read],
  key_make: ['key', ENTITY.create],
  key_add: ['key', ENTITY.enroll],
  key_prove: ['key', ENTITY.read],
  key_remove: ['key', ENTITY.unenroll],
  key_retire: ['key', ENTITY.move],
  key_destroy: ['key', ENTITY.delete],
  key_harden: ['host', ENTITY.update],
  run_list: ['run', ENTITY.read],
  run_attach: ['run', ENTITY.read],
  run_prune: ['run', ENTITY.delete],
}

/** What the log says of itself. */
const LOG_ACTIVITIES: Readonly<Record<string, number>> = { removed: 2, outputs_removed: 2, anchored: 3, rotated: 5, repaired: OTHER, signed: OTHER }

/** What the record is; undefined for the beginning of what is told when it is over. */
export function activityOf(record: AuditRecord): OcsfActivity | undefined {
  const { event, operation } = record
  if (Object.hasOwn(LOG_ACTIVITIES, event)) return logActivity(record)
  if (!['begin', 'finish', 'denied'].includes(event)) return entityActivity(record, event)
  if (operation === 'run' || operation === 'script') return processActivity(record, runActivity(record))
  if (event === 'begin') return undefined
  if (operation === 'run_cancel') return processActivity(record, PROCESS.terminate)
  if (operation === 'upload' || operation === 'download') return fileActivity(record)
  return entityActivity(record)
}

/** A run is launched once it has begun, unless it never was, and has terminated once it is over, unless nobody knows. */
function runActivity({ event, ended }: AuditRecord): number {
  if (event !== 'finish' || ended === 'not_started') return PROCESS.launch
  return ended === undefined || ended === null || ended === 'lost' ? PROCESS.unknown : PROCESS.terminate
}

function processActivity({ seq, command, run_id: runId, op_id: opId, login, exit_code: exitCode }: AuditRecord, activityId: number): OcsfActivity {
  const uid = runId ?? opId ?? `record ${seq}`
  const user = login === undefined ? undefined : { name: login }
  return {
    classUid: 1007,
    activityId,
    attributes: { process: { uid, cmd_line: command ?? '', user }, exit_code: exitCode ?? undefined },
    mapped: ['command', 'run_id', 'login', 'exit_code'],
  }
}

function fileActivity({ operation, remote = '', recursive, dry_run: dryRun, status, size_bytes: size, sha256 }: AuditRecord): OcsfActivity {
  const isTree = recursive === true
  const file = {
    name: posix.basename(remote) || remote || 'unknown',
    path: remote,
    type_id: isTree ? FILE_TYPE.folder : status === 'success' ? FILE_TYPE.regular : FILE_TYPE.unknown,
    size,
    // Of a tree it is the hash of a list, not of a file.
    hashes: isTree || typeof sha256 !== 'string' ? undefined : [{ algorithm: 'SHA-256', algorithm_id: SHA_256, value: sha256 }],
  }
  const activityId = dryRun ? FILE.getAttributes : operation === 'upload' ? FILE.update : FILE.read
  return { classUid: 1001, activityId, attributes: { file }, mapped: ['remote', 'size_bytes', ...(isTree ? [] : (['sha256'] as const))] }
}

/** What is done to hosts, keys and runs; and whatever has no other place, by its own name. */
function entityActivity(record: AuditRecord, activityName?: string): OcsfActivity {
  const { operation = record.event } = record
  const [kind, activityId] = (activityName === undefined && Object.hasOwn(STEPS, operation) ? STEPS[operation] : undefined) ?? ['other', OTHER]
  return {
    classUid: 3004,
    activityId,
    ...(activityId === OTHER && { activityName: activityName ?? operation }),
    attributes: { entity: entityOf(record, kind) },
    mapped: kind === 'key' ? ['user_key'] : kind === 'run' ? ['run_id'] : [],
  }
}

function entityOf({ event, operation = event, vm_id: host, user_key: userKey, run_id: runId, login }: AuditRecord, kind: 'host' | 'key' | 'run' | 'other'): object {
  switch (kind) {
    case 'host':
      return { type_id: ENTITY_TYPE.device, type: 'Device', name: host ?? 'unknown', uid: host }
    case 'key':
      return { type_id: ENTITY_TYPE.other, type: 'SSH key', name: userKey ?? `key of ${host ?? 'unknown'}`, uid: userKey, user: login === undefined ? undefined : { name: login } }
    case 'run':
      return { type_id: ENTITY_TYPE.other, type: 'Durable run', name: runId ?? `runs of ${host ?? 'unknown'}`, uid: runId }
    case 'other':
      return { type_id: ENTITY_TYPE.other, type: 'Operation', name: operation, uid: runId }
  }
}

function logActivity({ event, log_file: name }: AuditRecord): OcsfActivity {
  const activityId = LOG_ACTIVITIES[event] ?? OTHER
  return {
    classUid: 1008,
    activityId,
    ...(activityId === OTHER && { activityName: event }),
    attributes: { log_name: 'audit', log_type: 'Application', log_type_id: APPLICATION_LOG, file: name === undefined ? undefined : { name, type_id: FILE_TYPE.regular } },
    mapped: ['log_file'],
  }
}
