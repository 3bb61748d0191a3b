import { isIPv4, isIPv6 } from 'node:net'
import * as z from 'zod/mini'
import { parseDurationMs } from '../core/duration.ts'
import { parseFingerprint, parseHostKey } from '../core/host-key.ts'
import { isJump } from './jump.ts'

/**
 * What a configuration file may hold. Every message here is the "expected" of an error, so it completes
 * "expected …". Nothing is converted: the JSON Schema and the file are about the same values.
 */

/** A vm id: also a name in target expressions, key file names and file names. */
export const VM_ID = /^[A-Za-z0-9][A-Za-z0-9._-]*$/
/** Longer ids would not fit into the file names that are made of them. */
const LONGEST_ID = 128

const ID_EXPECTED = 'a host id: a letter or digit, then letters, digits, ".", "_" and "-"; not "all"'
const SUDO_EXPECTED = 'true, false (without quotes) or a user name'
const NO_CONTROL = /^\P{Cc}*$/u

type Fits<T> = (value: T) => boolean

const text = (expected: string, fits: Fits<string>): z.ZodMiniString => z.string(expected).check(z.refine(fits, expected))
const matching = (expected: string, pattern: RegExp): z.ZodMiniString => z.string(expected).check(z.regex(pattern, expected))
const flag = (): z.ZodMiniBoolean => z.boolean('true or false')

function integer(min: number, max: number): z.ZodMiniNumber {
  const expected = `a whole number from ${min} to ${max}`
  return z.int(expected).check(z.minimum(min, expected), z.maximum(max, expected))
}

function list<T extends z.ZodMiniType>(element: T, expected: string): z.ZodMiniArray<T> {
  return z.array(element, expected).check(z.minLength(1, `${expected} with at least one entry`))
}

function oneOrMore<T extends z.ZodMiniType>(element: T, expected: string): z.ZodMiniUnion<[T, z.ZodMiniArray<T>]> {
  return z.union([element, list(element, expected)], expected)
}

function duration(): z.ZodMiniUnion<readonly [z.ZodMiniNumber<number>, z.ZodMiniString<string>]> {
  const expected = 'a duration of at least 1ms: 500ms, 30s, 5m, 2h, a number of seconds, or none'
  return z.union([z.number(), z.string()], expected).check(z.refine(isDuration, expected))
}

function retentionDays(): z.ZodMiniUnion<readonly [z.ZodMiniNumber, z.ZodMiniLiteral<'none'>]> {
  const expected = 'a whole number of days from 1 to 36500, or none'
  return z.union([integer(1, 36_500), z.literal('none', expected)], expected)
}

function limitedDuration(): z.ZodMiniUnion<readonly [z.ZodMiniNumber<number>, z.ZodMiniString<string>]> {
  const expected = 'a duration of at least 1ms: 500ms, 30s, 5m, 2h or a number of seconds'
  return z.union([z.number(), z.string()], expected).check(z.refine((value) => isDuration(value) && value !== 'none', expected))
}

function isDuration(value: string | number): boolean {
  try {
    return parseDurationMs(value) >= 1
  } catch {
    return false
  }
}

/** An IP address, with brackets or without, or a host name; nothing that could be read as an option or a list. */
function isAddress(value: string): boolean {
  // Asked only where there is a colon: the first call of isIPv6 costs 4 ms.
  if (value.includes(':')) return isIPv6(value.replace(/^\[(.*)\]$/, '$1'))
  // Digits and dots that are no IPv4 address are a mistyped one.
  if (/^[\d.]+$/.test(value)) return isIPv4(value)
  return /^[\p{L}\p{N}_](?:[\p{L}\p{N}_.-]{0,251}[\p{L}\p{N}_.])?$/u.test(value)
}

/** `~` and `~/…` are expanded; `~name` is not and would become a directory of that name. */
const isPath: Fits<string> = (value) => /^\P{Cc}+$/u.test(value) && !/^~[^/]/.test(value)
const path = (): z.ZodMiniString => text('a path; of "~" only "~/…" is known', isPath)
const isFreeId: Fits<string> = (id) => id !== 'all' && id.length <= LONGEST_ID
const vmId = (): z.ZodMiniString => matching(ID_EXPECTED, VM_ID).check(z.refine(isFreeId, ID_EXPECTED))
const engine = z.enum(['auto', 'ssh2', 'openssh'], 'auto, ssh2 or openssh')
/** Never with a leading "-": logins become arguments of programs. */
const login = (expected: string): z.ZodMiniString => matching(expected, /^[^\s\p{Cc}-][^\s\p{Cc}]*$/u)
const plain = (expected: string): z.ZodMiniString => matching(expected, NO_CONTROL)

const SSH_CONFIG_EXPECTED = 'true, false (without quotes) or the name by which ssh_config knows the host: no spaces, "@", "/" or what a shell reads, and no "-" in front'
const ALIAS_NOT_PATH = 'true, false or a host’s name; the path of an ssh_config is ssh_config_path of remote_execution'

/** It becomes an argument of `ssh`, which takes `user@` off it. What a shell could read in it, newer versions of ssh refuse as well. */
const sshAlias = z.string(SSH_CONFIG_EXPECTED).check(
  z.refine((name) => !name.includes('/'), ALIAS_NOT_PATH),
  z.regex(/^[^\s\p{Cc}@/'"`$\\;&<>|(){}-][^\s\p{Cc}@/'"`$\\;&<>|(){}]*$/u, SSH_CONFIG_EXPECTED),
  z.refine((name) => !isFlagInQuotes(name), SSH_CONFIG_EXPECTED),
)

const hostKey = text(
  'a SHA256:… fingerprint, or a public key as in a .pub file (type and base64)',
  (value) => parseFingerprint(value) !== undefined || parseHostKey(value) !== undefined,
)

const groupName = matching('a group name: letters, digits, ".", "_" and "-"', VM_ID)

/** It would become a user, or a host, of that name. */
const isFlagInQuotes: Fits<string> = (value) => /^(?:true|false|yes|no|on|off)$/i.test(value)
const sudoUser = login(SUDO_EXPECTED).check(z.refine((name) => !isFlagInQuotes(name), SUDO_EXPECTED))

/** One entry of `vms:`. */
const vm = z.strictObject(
  {
    name: z.optional(plain('text of one line')),
    ip: text('an IPv4 or IPv6 address or a host name', isAddress),
    ssh_port: z.optional(integer(1, 65_535)),
    ssh_user: z.optional(login('a login name')),
    role: z.optional(plain('text of one line')),
    enabled: z.optional(flag()),
    groups: z.optional(z.array(groupName, 'a list of group names')),
    host_key: z.optional(oneOrMore(hostKey, 'a SHA256:… fingerprint, or a public key (type and base64), or a list of those')),
    identity_file: z.optional(path()),
    identity_certificate: z.optional(path()),
    ssh_config: z.optional(z.union([z.boolean(), sshAlias], SSH_CONFIG_EXPECTED)),
    jump: z.optional(text('a host of this file, or [user@]host[:port], or several with commas between', isJump)),
    engine: z.optional(engine),
    sudo: z.optional(z.union([z.boolean(), sudoUser], SUDO_EXPECTED)),
  },
  'a map of settings with at least "ip"',
)

/** `vms:`. */
export const vmsSchema = z
  .record(vmId(), vm, 'a map of hosts')
  .check(z.refine((vms) => Object.keys(vms).length > 0, 'at least one host'))

const EXPRESSION_EXPECTED = 'a regular expression as JavaScript has them'

/** One that matches the empty text was meant to match something else: it also matches, and hides nothing, where nothing is. */
const secretPattern = z.string(EXPRESSION_EXPECTED).check(
  z.refine(compiles, EXPRESSION_EXPECTED),
  z.refine((pattern) => !compiles(pattern) || !new RegExp(pattern).test(''), `${EXPRESSION_EXPECTED} that does not match the empty text`),
)

function compiles(pattern: string): boolean {
  try {
    new RegExp(pattern)
    return true
  } catch {
    return false
  }
}

/** `remote_execution:`. */
export const settingsSchema = z.strictObject(
  {
    default_timeout: z.optional(duration()),
    default_retry: z.optional(integer(1, 100)),
    key_storage_path: z.optional(path()),
    key_storage_type: z.optional(z.literal('encrypted_dir', 'encrypted_dir; other kinds of key storage are not in this version')),
    key_rotation_days: z.optional(integer(1, 36_500)),
    checksum_algorithm: z.optional(z.literal('sha256', 'sha256')),
    allowed_vm_ids: z.optional(z.array(vmId(), 'a list of host ids')),
    max_parallel_commands: z.optional(integer(1, 10_000)),
    connection_pool_size: z.optional(integer(0, 10_000)),
    connect_timeout: z.optional(duration()),
    keepalive_interval: z.optional(duration()),
    // Beyond 256 MiB the text of a result would not fit into one string of JavaScript.
    max_output_bytes: z.optional(integer(0, 268_435_456)),
    max_run_output_bytes: z.optional(integer(1, 1_099_511_627_776)),
    ssh_config_path: z.optional(path()),
    known_hosts_path: z.optional(oneOrMore(path(), 'a path or a list of paths')),
    audit_log_destination: z.optional(z.literal('file', 'file; other destinations of the audit log are not in this version')),
    audit_log_path: z.optional(path()),
    audit_rotate_bytes: z.optional(integer(4096, 1_099_511_627_776)),
    audit_rotate_age: z.optional(duration()),
    audit_retention_days: z.optional(retentionDays()),
    record_output: z.optional(flag()),
    output_retention_days: z.optional(retentionDays()),
    secret_patterns: z.optional(z.array(secretPattern, 'a list of regular expressions')),
    engine: z.optional(engine),
    require_post_quantum: z.optional(flag()),
  },
  'a map of settings',
)

const patternWord = text('text in which "*" stands alone, for a whole word', (word) => !word.includes('*') || word === '*' || word === '**')
const pattern = list(patternWord, 'a list of words').check(
  z.refine((words: readonly string[]) => !words.slice(0, -1).includes('**'), '"**" as the last word only'),
)

/** What a rule of the policy can be about. */
export const OPERATIONS = [
  'run', 'script', 'upload', 'download', 'run_list', 'run_attach', 'run_cancel', 'run_prune',
  'host_check', 'host_inspect', 'host_trust', 'host_forget', 'host_rotate',
  'key_list', 'key_make', 'key_add', 'key_prove', 'key_remove', 'key_retire', 'key_destroy', 'key_harden',
] as const
const operation = z.enum(OPERATIONS, `one of ${OPERATIONS.join(', ')}`)

const SPEAKS_FOR_EXPECTED = 'a list of user names, or "*" alone for anybody'
const spokenFor = login('a user name').check(z.refine((name) => name !== '*', SPEAKS_FOR_EXPECTED))

const rule = z.strictObject(
  {
    effect: z.enum(['allow', 'deny', 'ask'], 'allow, deny or ask'),
    users: z.optional(list(login('a user name'), 'a list of user names')),
    speaks_for: z.optional(z.union([z.literal('*'), list(spokenFor, SPEAKS_FOR_EXPECTED)], SPEAKS_FOR_EXPECTED)),
    hosts: z.optional(list(z.string('a target expression'), 'a list of target expressions')),
    operations: z.optional(list(operation, 'a list of operations')),
    commands: z.optional(list(pattern, 'a list of commands, each a list of words')),
    shell: z.optional(flag()),
    record_output: z.optional(flag()),
    approvers: z.optional(list(login('a user name'), 'a list of user names')),
    expires: z.optional(limitedDuration()),
  },
  'a map with at least "effect"',
)

/** `policy:`. */
export const policySchema = z.strictObject({ rules: z.array(rule, 'a list of rules'), approvals_path: z.optional(path()) }, 'a map with "rules"')

/** The sections that are Remex's own. All others belong to other programs. */
export const SECTIONS = { vms: vmsSchema, remote_execution: settingsSchema, policy: policySchema } as const

/** The keys that a map at `path` may have; empty where any are allowed. */
export function keysAt([section, ...rest]: readonly PropertyKey[]): readonly string[] {
  if (section === undefined) return Object.keys(SECTIONS)
  if (section === 'vms') return rest.length === 1 ? Object.keys(vm.shape) : []
  if (section === 'remote_execution') return Object.keys(settingsSchema.shape)
  return rest.length === 0 ? Object.keys(policySchema.shape) : Object.keys(rule.shape)
}

/** `vms:` as it was written. */
export type RawVms = z.output<typeof vmsSchema>
/** One entry of {@link RawVms}. */
export type RawVm = z.output<typeof vm>
/** `remote_execution:` as it was written. */
export type RawSettings = z.output<typeof settingsSchema>
/** `policy:` as it was written. */
export type RawPolicy = z.output<typeof policySchema>
