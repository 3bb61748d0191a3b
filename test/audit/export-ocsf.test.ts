import { describe, expect, it } from 'vitest'
import { ocsf } from '../../src/audit/export/ocsf.ts'
import type { AuditRecord } from '../../src/audit/record.ts'
import { BEGUN, RECORD } from './export-records.ts'

const format = ocsf({ machine: 'control01', version: '1.2.3' })

type Json = Record<string, unknown>

/** The event of a record; undefined where it has none. */
function eventOf(fields: Partial<AuditRecord>, base: AuditRecord = RECORD): Json | undefined {
  const text = format.text({ ...base, ...fields })
  return text === '' ? undefined : (JSON.parse(text) as Json)
}

/** What OCSF demands of an object: attributes that must be there, and sets of which one must be. Of 1.3.0 and of 1.8.0, whichever demands more. */
interface Demands {
  readonly required?: readonly string[]
  readonly oneOf?: readonly string[]
  readonly objects?: Readonly<Record<string, string>>
}

const BASE = ['activity_id', 'category_uid', 'class_uid', 'type_uid', 'severity_id', 'time', 'metadata']
const COMMON = { metadata: 'metadata', actor: 'actor', device: 'device' }

const DEMANDS: Readonly<Record<string, Demands>> = {
  1001: { required: [...BASE, 'actor', 'device', 'file'], objects: { ...COMMON, file: 'file' } },
  1007: { required: [...BASE, 'actor', 'device', 'process'], objects: { ...COMMON, process: 'process' } },
  1008: { required: [...BASE, 'actor', 'device'], oneOf: ['log_file', 'log_name', 'log_provider', 'log_type', 'log_type_id'], objects: { ...COMMON, file: 'file' } },
  3004: { required: [...BASE, 'entity'], objects: { ...COMMON, entity: 'entity' } },
  metadata: { required: ['product', 'version'], objects: { product: 'product' } },
  product: { required: ['vendor_name'], oneOf: ['name', 'uid'] },
  actor: { oneOf: ['process', 'user', 'invoked_by', 'session', 'app_name', 'app_uid'], objects: { user: 'user' } },
  user: { oneOf: ['account', 'name', 'uid'] },
  device: { required: ['type_id'], oneOf: ['ip', 'uid', 'name', 'hostname', 'instance_uid', 'interface_uid', 'interface_name'] },
  file: { required: ['name', 'type_id'], objects: { hashes: 'fingerprint' } },
  fingerprint: { required: ['algorithm_id', 'value'] },
  process: { oneOf: ['pid', 'uid'], objects: { user: 'user' } },
  entity: { oneOf: ['name', 'uid', 'device', 'group', 'org', 'policy', 'user'], objects: { user: 'user' } },
}

/** The activities that a class has, besides 0 (unknown) and 99 (other). */
const MOST_ACTIVITY: Readonly<Record<string, number>> = { 1001: 14, 1007: 5, 1008: 10, 3004: 13 }

/** What is missing in an object that is to be of this kind. */
function missing(value: Json, kind: string, path = kind): readonly string[] {
  const { required = [], oneOf, objects = {} } = DEMANDS[kind] ?? { required: [`a known kind, not ${kind}`] }
  const absent = required.filter((name) => value[name] === undefined || value[name] === null || value[name] === '')
  const none = oneOf?.every((name) => value[name] === undefined) ? [`one of ${oneOf.join(', ')}`] : []
  const inner = Object.entries(objects).flatMap(([name, inside]) => [value[name] ?? []].flat().flatMap((one) => missing(one as Json, inside, `${path}.${name}`)))
  return [...[...absent, ...none].map((name) => `${path} lacks ${name}`), ...inner]
}

const OPERATIONS = [
  'run', 'script', 'upload', 'download', 'run_list', 'run_attach', 'run_cancel', 'run_prune', 'host_check', 'host_inspect', 'host_trust', 'host_forget', 'host_rotate',
  'key_list', 'key_make', 'key_add', 'key_prove', 'key_remove', 'key_retire', 'key_destroy', 'key_harden', 'from_a_later_version', 'constructor',
]
const EVENTS = ['begin', 'finish', 'denied', 'repaired', 'signed', 'rotated', 'removed', 'anchored', 'asked', 'toString']
/** The least that a record has. */
const BARE: AuditRecord = { seq: 1, time: 'no time', event: '', prev: '', hash: 'ab' }

describe('OCSF', () => {
  it.each(EVENTS)('has in every event of %s what the schema demands', (event) => {
    for (const operation of [...OPERATIONS, undefined]) {
      for (const base of [RECORD, BEGUN, BARE, { ...RECORD, remote: '/', log_file: 'audit-000000000001.jsonl', sha256: 'cd', status: 'error' as const }]) {
        const found = eventOf({ event, ...(operation !== undefined && { operation }) }, base)
        if (!found) continue
        const { class_uid: uid, activity_id: activity, activity_name: name } = found
        expect(missing(found, String(uid))).toEqual([])
        expect(found).toMatchObject({ category_uid: Math.floor(Number(uid) / 1000), type_uid: Number(uid) * 100 + Number(activity) })
        expect(activity === 99 ? typeof name === 'string' : Number(activity) <= (MOST_ACTIVITY[String(uid)] ?? -1)).toBe(true)
        expect(JSON.stringify(found)).not.toContain('null')
      }
    }
  })

  const CASES: [string, Partial<AuditRecord>, object | undefined][] = [
    ['a run that begins as a launch', { event: 'begin', operation: 'run' }, { type_uid: 100701, process: { uid: 'run-1', cmd_line: 'echo hello', user: { name: 'thadmin' } } }],
    ['a run that is over as a termination', {}, { type_uid: 100702, exit_code: 0, status_id: 1, status: 'Success', severity_id: 1, duration: 43 }],
    ['a command that failed as a failure of low severity', { status: 'error', exit_code: 3 }, { type_uid: 100702, exit_code: 3, status_id: 2, severity_id: 2 }],
    ['a run that never was as a launch that failed', { status: 'error', ended: 'not_started', exit_code: null, error_code: 'UNREACHABLE' }, { type_uid: 100701, status_id: 2, status_code: 'UNREACHABLE' }],
    ['a run whose end nobody knows as something unknown', { status: 'error', ended: 'lost', exit_code: null, error_code: 'CONNECTION_LOST' }, { type_uid: 100700, status_id: 2 }],
    ['a script that is denied as a launch that failed', { event: 'denied', operation: 'script', status: 'error', error_code: 'POLICY_DENIED', reason: 'no rule' }, { type_uid: 100701, status_id: 2, status_code: 'POLICY_DENIED', status_detail: 'no rule', severity_id: 3 }],
    ['a run that is cancelled as a termination', { operation: 'run_cancel' }, { type_uid: 100702, process: { uid: 'run-1' } }],
    ['no beginning of a transfer', { event: 'begin', operation: 'upload' }, undefined],
    ['an upload as an update of the file on the host', { operation: 'upload', remote: '/srv/a.txt', size_bytes: 3, sha256: 'ef' }, { type_uid: 100103, file: { name: 'a.txt', path: '/srv/a.txt', size: 3, type_id: 1, hashes: [{ algorithm: 'SHA-256', algorithm_id: 3, value: 'ef' }] } }],
    ['a download as a read of the file on the host', { operation: 'download', remote: '/srv/a.txt' }, { type_uid: 100102, file: { path: '/srv/a.txt' } }],
    ['a dry run as a look at attributes', { operation: 'upload', remote: '/srv', recursive: true, dry_run: true }, { type_uid: 100108, file: { name: 'srv', type_id: 2 } }],
    ['the hash of a tree as what it is, not as that of a file', { operation: 'upload', remote: '/srv/', recursive: true, sha256: 'ef' }, { file: { name: 'srv', type_id: 2 }, unmapped: { sha256: 'ef' } }],
    ['a key that is added as an entity that is enrolled', { operation: 'key_add', user_key: 'SHA256:k' }, { type_uid: 300406, entity: { type: 'SSH key', uid: 'SHA256:k' }, device: { uid: 'vm01' } }],
    ['a host that is trusted as an entity that is enrolled', { operation: 'host_trust' }, { type_uid: 300406, entity: { type: 'Device', uid: 'vm01' }, unmapped: { host_key: 'SHA256:abc' } }],
    ['a host with another key as of high severity', { operation: 'host_check', status: 'error', error_code: 'HOST_KEY_CHANGED' }, { severity_id: 4 }],
    ['an operation that is not known by its name', { operation: 'tunnel' }, { type_uid: 300499, activity_name: 'tunnel' }],
    ['an event that is not known by its name', { event: 'asked' }, { type_uid: 300499, activity_name: 'asked', entity: { name: 'run' } }],
    ['a log that was turned as an activity of the log', { event: 'rotated', log_file: 'audit-000000000001.jsonl' }, { type_uid: 100805, log_name: 'audit', file: { name: 'audit-000000000001.jsonl' } }],
    ['a log that was damaged as of high severity', { event: 'repaired' }, { type_uid: 100899, activity_name: 'repaired', severity_id: 4 }],
  ]
  it.each(CASES)('gives %s', (_, fields, expected) => {
    const found = eventOf(fields)
    if (expected) expect(found).toMatchObject(expected)
    else expect(found).toBeUndefined()
  })

  it('says who, where, when and what for a person, and leaves the rest unmapped', () => {
    expect(eventOf({})).toMatchObject({
      time: Date.UTC(2026, 0, 31, 12, 0, 0, 43),
      message: 'finish: run on vm01 by alice, exit 0: echo hello',
      actor: { user: { name: 'alice' }, app_name: 'remex' },
      device: { type_id: 0, uid: 'vm01', name: 'vm01', ip: '10.0.0.10' },
      metadata: { version: '1.3.0', product: { name: 'Remex', vendor_name: 'Remex', version: '1.2.3' }, uid: RECORD.hash, sequence: 7, correlation_uid: 'op-1', original_time: RECORD.time },
      unmapped: { pid: 4711, os_user: 'root', kex: 'curve25519-sha256', env_names: ['LANG'], prev: RECORD.prev },
    })
    expect(eventOf({ address: 'db.example' })).toMatchObject({ device: { hostname: 'db.example' } })
    expect(eventOf({}, { ...BARE, event: 'repaired' })).toMatchObject({ device: { hostname: 'control01' } })
  })

  it('loses no field: each is in its place or unmapped', () => {
    const found = JSON.stringify(eventOf({ ...{ later: 'fourty-two' }, reason: 'because', local: '/here' }))
    for (const value of ['fourty-two', 'because', '/here', 'alice', 'vm01', '10.0.0.10', 'thadmin', 'run-1', 'op-1', 'root', 'echo hello', RECORD.hash, RECORD.prev]) expect(found).toContain(value)
  })

  it('is one line for a record', () => {
    expect(format.text({ ...RECORD, command: 'a\nb\r\u0000' })).toMatch(/^[^\n\r]*\n$/)
  })
})
