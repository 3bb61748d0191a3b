import { stringify } from 'yaml'
import { formatDurationMs } from '../core/duration.ts'
import type { Config, HostConfig, PolicyRule, Settings } from './types.ts'

/** The configuration as Remex understood it: YAML with every default filled in, in the form of the file. */
export function showConfig({ hosts, settings, policy }: Config): string {
  const vms = Object.fromEntries([...hosts.values()].map((host) => [host.id, showHost(host)]))
  const shown = { vms, remote_execution: showSettings(settings), ...(policy && { policy: { rules: policy.rules.map(showRule), approvals_path: policy.approvalsPath } }) }
  // Quoted, `on` and `no` stay text for whoever reads the file by YAML 1.1.
  return stringify(shown, { compat: 'yaml-1.1', lineWidth: 0, aliasDuplicateObjects: false })
}

function showHost(host: HostConfig): Record<string, unknown> {
  return {
    name: host.name,
    ip: host.address,
    // What is written out counts; where ssh_config is to say it, it must not be.
    ...(host.sshConfig?.ownsPort !== false && { ssh_port: host.port }),
    ...(host.sshConfig?.ownsLogin !== false && { ssh_user: host.login }),
    role: host.role,
    enabled: host.enabled,
    groups: host.groups,
    ...(host.hostKeys.length > 0 && { host_key: host.hostKeys }),
    ...(host.identityFile !== undefined && { identity_file: host.identityFile }),
    ...(host.identityCertificate !== undefined && { identity_certificate: host.identityCertificate }),
    ...(host.sshConfig && { ssh_config: host.sshConfig.ownsAddress ? host.sshConfig.alias : true }),
    ...(host.jump !== undefined && { jump: host.jump }),
    engine: host.engine,
    sudo: host.sudo,
  }
}

function showSettings(settings: Settings): Record<string, unknown> {
  return {
    default_timeout: formatDurationMs(settings.defaultTimeoutMs),
    default_retry: settings.defaultRetry,
    key_storage_path: settings.keyStoragePath,
    key_rotation_days: settings.keyRotationDays,
    checksum_algorithm: settings.checksumAlgorithm,
    ...(settings.allowedVmIds && { allowed_vm_ids: settings.allowedVmIds }),
    max_parallel_commands: settings.maxParallel,
    connection_pool_size: settings.poolSize,
    connect_timeout: formatDurationMs(settings.connectTimeoutMs),
    keepalive_interval: formatDurationMs(settings.keepaliveIntervalMs),
    max_output_bytes: settings.maxOutputBytes,
    max_run_output_bytes: settings.maxRunOutputBytes,
    ...(settings.sshConfigPath !== undefined && { ssh_config_path: settings.sshConfigPath }),
    known_hosts_path: settings.knownHostsPaths,
    audit_log_destination: 'file',
    audit_log_path: settings.auditPath,
    audit_rotate_bytes: settings.auditRotateBytes,
    audit_rotate_age: formatDurationMs(settings.auditRotateAgeMs),
    audit_retention_days: showDays(settings.auditRetentionDays),
    record_output: settings.recordOutput,
    output_retention_days: showDays(settings.outputRetentionDays),
    secret_patterns: settings.secretPatterns.map(({ source }) => source),
    engine: settings.engine,
    require_post_quantum: settings.requirePostQuantum,
  }
}

const showDays = (days: number): number | 'none' => (days === Infinity ? 'none' : days)

/** Empty lists stand for "any", and for "nobody" whom one speaks for, which a file says by leaving the key out. */
function showRule({ effect, users, speaksFor, hosts, operations, commands, shell, recordOutput, approvers, expiresMs }: PolicyRule): Record<string, unknown> {
  const lists = Object.entries({ users, speaks_for: speaksFor, hosts, operations, commands, approvers }).filter(([, list]) => list.length > 0)
  return { effect, ...Object.fromEntries(lists), shell, ...(recordOutput !== undefined && { record_output: recordOutput }), ...(effect === 'ask' && { expires: formatDurationMs(expiresMs) }) }
}

/** A rule in one line, as it could stand in a file. */
export function ruleText(rule: PolicyRule): string {
  return stringify(showRule(rule), { compat: 'yaml-1.1', lineWidth: 0, collectionStyle: 'flow' }).trimEnd()
}
