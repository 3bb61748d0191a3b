/** Which SSH engine serves a host. */
export type EngineChoice = 'auto' | 'ssh2' | 'openssh'

/** How the settings of this machine's `ssh` (ssh_config(5)) count for a host: they add what its entry does not say. */
export interface HostSshConfig {
  /** The name by which they know the host: that of the entry, else its `ip`. */
  readonly alias: string
  /** Whether `ssh_port` was written. Else their `Port` counts, not {@link HostConfig.port}. */
  readonly ownsPort: boolean
  /** Whether `ssh_user` was written. Else their `User` counts, not {@link HostConfig.login}. */
  readonly ownsLogin: boolean
  /** Whether an alias was written: then `ip` is the address. Else their `HostName` counts, and `ip` may itself be an alias there. */
  readonly ownsAddress: boolean
}

/** One entry of `vms:`, checked and with its defaults. */
export interface HostConfig {
  /** The key under `vms:`, `vm01`. */
  readonly id: string
  /** Free text; empty when not given. */
  readonly name: string
  /** IPv4, IPv6 (without brackets) or a name. From `ip`. */
  readonly address: string
  /** From `ssh_port`. Default: 22. */
  readonly port: number
  /** From `ssh_user`. Default: the user who runs remex. */
  readonly login: string
  /** Also a group name; empty when not given. */
  readonly role: string
  readonly enabled: boolean
  readonly groups: readonly string[]
  /** `SHA256:` fingerprints or public keys (`type base64`); empty: known_hosts decides. From `host_key`. */
  readonly hostKeys: readonly string[]
  /** Expanded path; undefined: the key store, then the agent. */
  readonly identityFile: string | undefined
  /** Expanded path of a user certificate over the key in use; undefined: one that lies beside the key, if any. */
  readonly identityCertificate: string | undefined
  /** Undefined: the settings of `ssh` do not count. */
  readonly sshConfig: HostSshConfig | undefined
  /** A host id of this file or `[user@]host[:port]`, or several of them with commas between, in the order of the way; undefined: none. */
  readonly jump: string | undefined
  /** Its own, else that of `remote_execution`. */
  readonly engine: EngineChoice
  /** Whether commands run under sudo by default, and as whom: `true` is root. */
  readonly sudo: boolean | string
}

/** `remote_execution:`, checked and with its defaults. Paths are expanded, durations in ms. */
export interface Settings {
  readonly defaultTimeoutMs: number
  /** Attempts, 1 or more. */
  readonly defaultRetry: number
  readonly keyStoragePath: string
  /** Whether `key_storage_path` was written in the file: then the directory must be there. */
  readonly keyStorageConfigured: boolean
  readonly keyRotationDays: number
  readonly checksumAlgorithm: 'sha256'
  /** Undefined: every enabled host. Only narrows. */
  readonly allowedVmIds: readonly string[] | undefined
  /** From `max_parallel_commands`. */
  readonly maxParallel: number
  /** Idle connections that are kept. From `connection_pool_size`. */
  readonly poolSize: number
  readonly connectTimeoutMs: number
  readonly keepaliveIntervalMs: number
  readonly maxOutputBytes: number
  /** The most bytes that each stream of a durable run may have on its host. From `max_run_output_bytes`. */
  readonly maxRunOutputBytes: number
  /** The file of `ssh` settings, for hosts with `ssh_config`; undefined: the user's own, and the system's. */
  readonly sshConfigPath: string | undefined
  /** The first is the one that is written to. */
  readonly knownHostsPaths: readonly string[]
  /** Directory. From `audit_log_path`. */
  readonly auditPath: string
  /** The log turns to a new file at this size … From `audit_rotate_bytes`. */
  readonly auditRotateBytes: number
  /** … or at this age; Infinity: never. From `audit_rotate_age`. */
  readonly auditRotateAgeMs: number
  /** How long old files are kept, in days; Infinity: for good. From `audit_retention_days`. */
  readonly auditRetentionDays: number
  /** Whether what commands write is kept beside the log. From `record_output`. */
  readonly recordOutput: boolean
  /** How long that is kept, in days; Infinity: for good. From `output_retention_days`. */
  readonly outputRetentionDays: number
  /** What they match is hidden in the audit log; none of them matches the empty text. */
  readonly secretPatterns: readonly RegExp[]
  readonly engine: EngineChoice
  readonly requirePostQuantum: boolean
}

/** One rule of `policy:`. The first that matches decides. */
export interface PolicyRule {
  readonly effect: 'allow' | 'deny' | 'ask'
  /** Empty: any user. The same for the other lists. */
  readonly users: readonly string[]
  /** Whom the users may name by `--user` besides themselves; `*` is anybody. Empty: nobody. From `speaks_for`. */
  readonly speaksFor: readonly string[] | '*'
  /** Target expressions. */
  readonly hosts: readonly string[]
  readonly operations: readonly string[]
  /** Word patterns: `*` is one word, a final `**` any number. */
  readonly commands: readonly (readonly string[])[]
  /** Whether shell text is allowed as such. */
  readonly shell: boolean
  /** Whether output is recorded; undefined: as the settings say. From `record_output`. */
  readonly recordOutput: boolean | undefined
  /** Who may approve what an `ask` is about; empty: anybody but the one who asks. */
  readonly approvers: readonly string[]
  /** How long a request and its approval count. From `expires`. */
  readonly expiresMs: number
}

/** `policy:`, checked and with its defaults. */
export interface Policy {
  readonly rules: readonly PolicyRule[]
  /** Directory of requests and approvals. From `approvals_path`. */
  readonly approvalsPath: string
}

/** A configuration that was checked. */
export interface Config {
  /** The file it came from; undefined for one given as an object. */
  readonly path: string | undefined
  /** In the order of the file; ids that are plain numbers (`10`) come first. */
  readonly hosts: ReadonlyMap<string, HostConfig>
  readonly settings: Settings
  /** Undefined: without the section everything is allowed. */
  readonly policy: Policy | undefined
}
