import { join, resolve } from 'node:path'
import { parseDurationMs, type Duration } from '../core/duration.ts'
import { formatHostKey, parseFingerprint, parseHostKey } from '../core/host-key.ts'
import type { RawConfig } from './check.ts'
import { expandHome, stateDir } from './paths.ts'
import type { RawPolicy, RawSettings, RawVm } from './schema.ts'
import type { Config, EngineChoice, HostConfig, HostSshConfig, Policy, PolicyRule, Settings } from './types.ts'

/** Where relative paths, `~` and defaults come from. */
export interface Surroundings {
  readonly env: NodeJS.ProcessEnv
  /** Relative paths begin here. */
  readonly cwd: string
  readonly home: string
  /** The login where `ssh_user` is not given. */
  readonly osUser: string
}

/** The configuration with all defaults, from sections that were checked. */
export function resolveConfig(raw: RawConfig, path: string | undefined, around: Surroundings): Config {
  const forHosts = { ...around, engine: raw.settings.engine ?? 'auto' }
  const hosts = Object.entries(raw.vms).map(([id, vm]) => [id, resolveHost(id, vm, forHosts)] as const)
  const settings = resolveSettings(raw.settings, around)
  return { path, hosts: new Map(hosts), settings, policy: raw.policy && resolvePolicy(raw.policy, settings, around) }
}

function resolveHost(id: string, vm: RawVm, around: Surroundings & { readonly engine: EngineChoice }): HostConfig {
  return {
    id,
    name: vm.name ?? '',
    address: addressOf(vm),
    port: vm.ssh_port ?? 22,
    login: vm.ssh_user ?? around.osUser,
    role: vm.role ?? '',
    enabled: vm.enabled ?? true,
    groups: vm.groups ?? [],
    hostKeys: asList(vm.host_key ?? []).map(normalHostKey),
    identityFile: vm.identity_file === undefined ? undefined : pathOf(vm.identity_file, around),
    identityCertificate: vm.identity_certificate === undefined ? undefined : pathOf(vm.identity_certificate, around),
    sshConfig: sshConfigOf(vm),
    jump: vm.jump,
    engine: vm.engine ?? around.engine,
    sudo: vm.sudo ?? false,
  }
}

const addressOf = ({ ip }: RawVm): string => ip.replace(/^\[(.*)\]$/, '$1')

function sshConfigOf(vm: RawVm): HostSshConfig | undefined {
  const { ssh_config: written = false } = vm
  if (written === false) return undefined
  const alias = written === true ? addressOf(vm) : written
  return { alias, ownsPort: vm.ssh_port !== undefined, ownsLogin: vm.ssh_user !== undefined, ownsAddress: written !== true }
}

function resolveSettings(raw: RawSettings, around: Surroundings): Settings {
  const state = stateDir(around.env, around.home)
  return {
    defaultTimeoutMs: durationMs(raw.default_timeout, 30),
    defaultRetry: raw.default_retry ?? 3,
    keyStoragePath: pathOf(raw.key_storage_path ?? '~/.ssh/th_timmy_keys', around),
    keyStorageConfigured: raw.key_storage_path !== undefined,
    keyRotationDays: raw.key_rotation_days ?? 90,
    checksumAlgorithm: raw.checksum_algorithm ?? 'sha256',
    allowedVmIds: raw.allowed_vm_ids,
    maxParallel: raw.max_parallel_commands ?? 32,
    poolSize: raw.connection_pool_size ?? 10,
    connectTimeoutMs: durationMs(raw.connect_timeout, 10),
    keepaliveIntervalMs: durationMs(raw.keepalive_interval, 15),
    maxOutputBytes: raw.max_output_bytes ?? 10 * 1024 * 1024,
    maxRunOutputBytes: raw.max_run_output_bytes ?? 1024 * 1024 * 1024,
    sshConfigPath: raw.ssh_config_path === undefined ? undefined : pathOf(raw.ssh_config_path, around),
    knownHostsPaths: asList(raw.known_hosts_path ?? [`${state}/known_hosts`, '~/.ssh/known_hosts']).map((path) => pathOf(path, around)),
    auditPath: pathOf(raw.audit_log_path ?? `${state}/audit`, around),
    auditRotateBytes: raw.audit_rotate_bytes ?? 64 * 1024 * 1024,
    auditRotateAgeMs: durationMs(raw.audit_rotate_age, 24 * 60 * 60),
    auditRetentionDays: daysOf(raw.audit_retention_days, 90),
    recordOutput: raw.record_output ?? false,
    outputRetentionDays: daysOf(raw.output_retention_days, 30),
    secretPatterns: (raw.secret_patterns ?? []).map((pattern) => new RegExp(pattern)),
    engine: raw.engine ?? 'auto',
    requirePostQuantum: raw.require_post_quantum ?? false,
  }
}

function resolvePolicy({ rules, approvals_path: path }: RawPolicy, { auditPath }: Settings, around: Surroundings): Policy {
  return { rules: rules.map(resolveRule), approvalsPath: path === undefined ? join(auditPath, 'approvals') : pathOf(path, around) }
}

function resolveRule(rule: RawPolicy['rules'][number]): PolicyRule {
  const { effect, users = [], speaks_for: speaksFor = [], hosts = [], operations = [], commands = [], shell = false, record_output: recordOutput, approvers = [], expires } = rule
  return { effect, users, speaksFor, hosts, operations, commands, shell, recordOutput, approvers, expiresMs: durationMs(expires, 3600) }
}

const durationMs = (given: Duration | undefined, defaultSeconds: number): number => parseDurationMs(given ?? defaultSeconds)

const daysOf = (given: number | 'none' | undefined, byDefault: number): number => (given === 'none' ? Infinity : (given ?? byDefault))

const pathOf = (path: string, { cwd, home }: Surroundings): string => resolve(cwd, expandHome(path, home))

const asList = (value: string | readonly string[]): readonly string[] => (typeof value === 'string' ? [value] : value)

/** The form that comparisons use: no comment, no padding of the base64. */
function normalHostKey(text: string): string {
  const key = parseHostKey(text)
  return key ? formatHostKey(key) : (parseFingerprint(text) ?? text)
}
