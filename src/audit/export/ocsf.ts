import { isIP } from 'node:net'
import type { AuditRecord } from '../record.ts'
import { sentenceOf } from '../read/record-words.ts'
import type { ExportFormat, Origin } from './format.ts'
import { activityOf, type OcsfActivity } from './ocsf-activity.ts'
import { weightOf, type Weight } from './weight.ts'

/** What is used of the schema has not changed from here to 1.8. */
const SCHEMA_VERSION = '1.3.0'

/** Informational, low, medium, high. */
const SEVERITIES: Record<Weight, number> = { routine: 1, failure: 2, refusal: 3, alarm: 4 }
const UNKNOWN_DEVICE_TYPE = 0

/** In every event, whatever its class. */
const ALWAYS_MAPPED = ['seq', 'time', 'hash', 'op_id', 'user_id', 'vm_id', 'address', 'status', 'error_code', 'reason', 'execution_time'] as const

/** Events of the Open Cybersecurity Schema Framework as JSON Lines. */
export function ocsf(origin: Origin): ExportFormat {
  return {
    head: '',
    text(record) {
      const activity = activityOf(record)
      return activity ? `${JSON.stringify(eventOf(record, activity, origin))}\n` : ''
    },
  }
}

function eventOf(record: AuditRecord, activity: OcsfActivity, origin: Origin): object {
  const { classUid, activityId, activityName, attributes, mapped } = activity
  const { execution_time: seconds, error_code: errorCode, reason } = record
  return {
    class_uid: classUid,
    category_uid: Math.floor(classUid / 1000),
    activity_id: activityId,
    activity_name: activityName,
    type_uid: classUid * 100 + activityId,
    severity_id: SEVERITIES[weightOf(record)],
    time: millis(record.time),
    ...statusOf(record),
    status_code: errorCode ?? undefined,
    status_detail: reason,
    duration: typeof seconds === 'number' ? Math.round(seconds * 1000) : undefined,
    message: sentenceOf(record),
    metadata: metadataOf(record, origin),
    actor: actorOf(record),
    device: deviceOf(record, origin),
    ...attributes,
    unmapped: without(record, [...ALWAYS_MAPPED, ...mapped]),
  }
}

function statusOf({ status }: AuditRecord): object {
  if (status === undefined) return { status_id: 0, status: 'Unknown' }
  return status === 'success' ? { status_id: 1, status: 'Success' } : { status_id: 2, status: 'Failure' }
}

function metadataOf({ seq, time, hash, op_id: opId }: AuditRecord, { version }: Origin): object {
  return {
    version: SCHEMA_VERSION,
    product: { name: 'Remex', vendor_name: 'Remex', version },
    profiles: ['host'],
    log_name: 'audit',
    uid: hash,
    sequence: seq,
    correlation_uid: opId,
    original_time: time,
  }
}

/** Who asked. The user of the operating system and the process are those of another machine than the device: they stay unmapped. */
function actorOf({ user_id: name }: AuditRecord): object {
  return { user: name === undefined ? undefined : { name }, app_name: 'remex' }
}

/** The host; for what the log says of itself, this machine. */
function deviceOf({ vm_id: id, address }: AuditRecord, { machine }: Origin): object {
  if (id === undefined) return { type_id: UNKNOWN_DEVICE_TYPE, hostname: machine }
  const where = address === undefined ? {} : isIP(address) === 0 ? { hostname: address } : { ip: address }
  return { type_id: UNKNOWN_DEVICE_TYPE, uid: id, name: id, ...where }
}

/** A time that is none is 0: the attribute must be there, and `original_time` has what it was. */
function millis(time: string): number {
  const ms = Date.parse(time)
  return Number.isNaN(ms) ? 0 : ms
}

function without(record: AuditRecord, mapped: readonly (keyof AuditRecord)[]): object {
  const names: ReadonlySet<string> = new Set(mapped)
  return Object.fromEntries(Object.entries(record).filter(([name, value]) => value !== null && !names.has(name)))
}
