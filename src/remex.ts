import { homedir, userInfo } from 'node:os'
import { join } from 'node:path'
import type { Anchor } from './audit/verify/anchor.ts'
import { openAudit, type AuditLog, type AuditOptions } from './audit/log.ts'
import { loadConfig } from './config/load.ts'
import { stateDir } from './config/paths.ts'
import type { Config, HostConfig, Settings } from './config/types.ts'
import { systemClock } from './core/clock.ts'
import { remexError, type RemexError } from './core/errors.ts'
import type { Identity } from './core/identity.ts'
import { OsUsers } from './core/os-users.ts'
import type { Secret } from './core/secret.ts'
import type { DoctorOptions, DoctorRuntime } from './enrol/doctor/doctor.ts'
import type { Finding } from './enrol/doctor/finding.ts'
import { HostTrust } from './enrol/host-trust.ts'
import { Keys } from './enrol/keys.ts'
import { Approvals } from './fleet/approvals.ts'
import { Dispatcher } from './fleet/dispatch.ts'
import { HostGroup } from './fleet/group.ts'
import { Host } from './fleet/host.ts'
import { Operations } from './fleet/operations.ts'
import { RunRegistry } from './fleet/registry.ts'
import { selectHosts } from './fleet/roster.ts'
import { Runs } from './fleet/runs.ts'
import { findIdentities } from './keys/identities.ts'
import { KnownHostsFiles } from './keys/known-hosts-files.ts'
import { ApprovalStore } from './policy/approvals.ts'
import { Governor } from './session/governor.ts'
import { LoginShells } from './session/login-shell.ts'
import { ConnectionPool } from './session/pool.ts'
import type { ConnectionInfo } from './transport/contract.ts'
import { Partials } from './transfer/partials.ts'
import { askSshOnce } from './transport/openssh/ask-once.ts'
import { opensshEngine } from './transport/openssh/engine.ts'
import { opensshCertificates } from './transport/openssh/host-certificate.ts'
import { resolveBySshConfig } from './transport/openssh/ssh-config.ts'
import { ssh2Engine } from './transport/ssh2/engine.ts'
import { generateKey } from './transport/ssh2/generate-key.ts'

/** How to open Remex. */
export interface OpenOptions {
  /** A configuration file, or its content as an object. Default: `$REMEX_CONFIG`, `configs/config.yml`, `~/.config/remex/config.yml`. */
  readonly config?: string | Readonly<Record<string, unknown>>
  /** Who asks, for the audit log. Default: the operating system's user. */
  readonly user?: string
  /** Default: `process.env`. */
  readonly env?: NodeJS.ProcessEnv
  /** Asks for the passphrase of a key. Default: none, `$REMEX_KEY_PASSPHRASE` is all there is. */
  readonly askPassphrase?: (label: string) => Promise<Secret>
}

/** A fleet, with open connections shared among all that is done with it. Close it, or declare it with `await using`. */
export class Remex implements AsyncDisposable {
  /** The configuration as it was read. */
  readonly config: Config
  /** Who asks. */
  readonly user: string
  /** Host keys: what hosts show, whom we trust. */
  readonly trust: HostTrust
  /** The keys that open the hosts: set up, looked after, replaced. */
  readonly keys: Keys
  /** Durable runs: what the hosts and our own notes know of them. */
  readonly runs: Runs
  /** What rules of the policy ask a second person to approve. */
  readonly approvals: Approvals
  readonly #pool: ConnectionPool
  readonly #dispatcher: Dispatcher
  readonly #operations: Operations
  readonly #audit: () => Promise<AuditLog>
  readonly #doctor: DoctorRuntime
  #opened: Promise<AuditLog> | undefined
  #closed = false

  private constructor(config: Config, { user, env = process.env, askPassphrase }: OpenOptions) {
    const osUser = userInfo().username
    const osUsers = new OsUsers()
    const askSsh = askSshOnce(env)
    const engines = { ssh2: ssh2Engine(), openssh: opensshEngine(env, askSsh) }
    this.config = config
    this.user = user ?? osUser
    this.#audit = () => (this.#closed ? Promise.reject(closedError()) : (this.#opened ??= openAudit(auditOptions(config.settings))))
    this.#pool = new ConnectionPool(config.settings.poolSize)
    const { hosts, settings } = config
    const keyStorage = { keyStoragePath: settings.keyStoragePath, keyStorageConfigured: settings.keyStorageConfigured }
    const asking = { env, askPassphrase: askPassphrase && askedOnce(askPassphrase) }
    const identitiesOf = ({ id: vmId, identityFile, identityCertificate, sshConfig }: HostConfig): Promise<readonly Identity[]> =>
      findIdentities({ vmId, identityFile, identityCertificate, mayBeNone: sshConfig !== undefined, ...keyStorage }, asking)
    const sessions = { hosts, settings, engines, knownHosts: new KnownHostsFiles(settings.knownHostsPaths), clock: systemClock, pool: this.#pool, governor: new Governor(), loginShells: new LoginShells(), identitiesOf, askSshConfig: resolveBySshConfig(env) }
    const shared = { config, audit: this.#audit, user: this.user }
    const registry = new RunRegistry(join(stateDir(env, homedir()), 'runs'))
    const partials = new Partials(join(stateDir(env, homedir()), 'transfers'))
    this.#operations = new Operations(join(stateDir(env, homedir()), 'operations'))
    const approvals = config.policy && new ApprovalStore({ directory: config.policy.approvalsPath, clock: systemClock, uid: userInfo().uid, nameOf: (uid) => osUsers.nameOf(uid) })
    this.approvals = new Approvals({ ...shared, osUser, approvals })
    this.#dispatcher = new Dispatcher({ ...shared, osUser, sessions, registry, partials, approvals })
    this.#doctor = { config, dispatcher: this.#dispatcher, clock: systemClock, env, askSsh }
    const select = (targets: string | readonly string[]): readonly string[] => selectHosts(config, targets).ids
    this.runs = new Runs({ dispatcher: this.#dispatcher, registry, select, parallel: settings.maxParallel, maxOutputBytes: settings.maxOutputBytes })
    this.trust = new HostTrust({ config, dispatcher: this.#dispatcher, checkCertificate: opensshCertificates(env) })
    this.keys = new Keys({ config, dispatcher: this.#dispatcher, trust: this.trust, generateKey, passphrases: asking, home: homedir(), clock: systemClock })
  }

  /** Reads the configuration. Connects to nothing. Rejects with `CONFIG_NOT_FOUND` or `CONFIG_INVALID`. */
  static async open(options: OpenOptions = {}): Promise<Remex> {
    const { config, env = process.env } = options
    const source = typeof config === 'string' ? { path: config } : config === undefined ? {} : { data: config }
    const loaded = await loadConfig({ ...source, env, cwd: process.cwd(), home: homedir(), osUser: userInfo().username })
    return new Remex(loaded, options)
  }

  /**
   * One host by its id. Whether there is one and it may be used is decided when something is asked of it, which then
   * rejects with `HOST_UNKNOWN` or `HOST_NOT_ALLOWED`: so the refusal is in the audit log with what was asked.
   */
  host(id: string): Host {
    return new Host(id, this.#dispatcher)
  }

  /** The hosts that a target expression selects. Throws `USAGE`, `HOST_UNKNOWN` or `HOST_NOT_ALLOWED`. */
  hosts(expression: string | readonly string[]): HostGroup {
    const parts = { dispatcher: this.#dispatcher, operations: this.#operations, clock: systemClock, user: this.user, parallel: this.config.settings.maxParallel }
    return new HostGroup(selectHosts(this.config, expression), parts)
  }

  /** Connects to a host and authenticates, and does nothing else. Rejects with why not. */
  check(id: string, signal?: AbortSignal): Promise<ConnectionInfo> {
    return this.#dispatcher.check(id, signal)
  }

  /**
   * Looks at this machine and at hosts, and gives what every check came to, those of a host together; changes nothing. `targets` undefined: all
   * that may be used. Throws `USAGE`, `HOST_UNKNOWN` or `HOST_NOT_ALLOWED` for targets that are wrong, and `CANCELLED`; never for a host.
   */
  async *doctor(targets?: string | readonly string[], options: DoctorOptions = {}): AsyncGenerator<Finding, void> {
    const { examine } = await import('./enrol/doctor/doctor.ts')
    yield* examine(this.#doctor, targets, options)
  }

  /**
   * Hands out the end of the audit log, to be kept where whoever can write the log cannot write. Recorded itself, and what lets
   * retention remove what it covers. Rejects with `AUDIT_UNAVAILABLE`.
   */
  async anchor(): Promise<Anchor> {
    return (await this.#audit()).anchor()
  }

  /**
   * Closes all connections, and the log when it has how everything ended: what still runs ends as `lost`.
   * What is asked for later is refused with `USAGE`. Safe to repeat.
   */
  async close(): Promise<void> {
    this.#closed = true
    this.#pool.close()
    await this.#dispatcher.settled()
    const opened = await this.#opened?.catch(() => undefined)
    await opened?.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** Hosts that share a key file are connected to at once, and its passphrase is one question. */
function askedOnce(ask: (label: string) => Promise<Secret>): (label: string) => Promise<Secret> {
  const answers = new Map<string, Promise<Secret>>()
  return (label) => {
    const answer = answers.get(label) ?? ask(label)
    answers.set(label, answer)
    return answer
  }
}

const DAY_MS = 86_400_000

function auditOptions({ auditPath: directory, auditRotateBytes: rotateBytes, auditRotateAgeMs: rotateAgeMs, auditRetentionDays, outputRetentionDays, secretPatterns: patterns }: Settings): AuditOptions {
  const limits = { rotateBytes, rotateAgeMs, retentionMs: auditRetentionDays * DAY_MS, outputRetentionMs: outputRetentionDays * DAY_MS }
  return { directory, clock: systemClock, limits, patterns }
}

function closedError(): RemexError {
  return remexError('USAGE', 'this Remex was closed', { hint: 'Open another one: Remex.open()' })
}
