import type { BeginFields, FinishFields } from '../audit/log.ts'
import type { HostConfig } from '../config/types.ts'
import type { RemexError } from '../core/errors.ts'
import type { RunResult } from '../core/outcome.ts'
import { quoteWords } from '../core/quote.ts'
import { Secret } from '../core/secret.ts'
import type { TransferResult, TreeFacts } from '../core/transfer-result.ts'
import type { Bound } from '../policy/digest.ts'
import type { ConnectionInfo } from '../transport/contract.ts'
import { commandText, refuseWrongTypes, sudoUser } from './invocation.ts'
import { LocalScript } from './local-script.ts'
import type { RunRequest, ScriptRequest, TransferRequest } from './requests.ts'

/** What is to be done, as the audit log, the policy and people are told it. */
export interface Description {
  readonly operation: string
  /** For people and for the log; undefined for transfers. */
  readonly command: string | undefined
  /** What the audit record holds of it, besides who and where. */
  readonly fields: Pick<BeginFields, 'command' | 'local' | 'remote' | 'env_names' | 'recursive' | 'delete' | 'dry_run' | 'user_key'>
  /** Values that must not be in the log. */
  readonly secrets: readonly Secret[]
  /** What the policy judges: words, or shell text as such. */
  readonly words: readonly string[] | undefined
  readonly shellText: string | undefined
  /** What else an approval is of, by names that people understand: with what the host's configuration adds, and without secrets. */
  readonly bound: (host: HostConfig) => Readonly<Record<string, Bound>>
  /** A script of this machine, whose content an approval is of as well. */
  readonly script?: LocalScript
}

/** Describes what is neither a command nor a transfer. */
export function describeOther(operation: string, { command, fields = {}, bound = {} }: Partial<Pick<Description, 'command' | 'fields'>> & { readonly bound?: Readonly<Record<string, Bound>> } = {}): Description {
  return { operation, command, fields, secrets: [], words: undefined, shellText: undefined, bound: () => bound }
}

/** Describes a request. Throws `USAGE` for an empty command, and for what is of the wrong type. */
export function describe(request: RunRequest | ScriptRequest | TransferRequest): Description {
  if (request.operation === 'run') return describeRun(request)
  if (request.operation === 'script') return describeScript(request)
  const { operation, local, remote, options } = request
  const asked = { ...flag('recursive', options.recursive), ...flag('delete', options.delete), ...flag('dry_run', options.dryRun) }
  const fields = { local, remote, ...asked }
  return { operation, command: undefined, fields, secrets: [], words: undefined, shellText: undefined, bound: () => boundTransfer(request) }
}

/** All that decides what is there afterwards; not how fast it gets there, or how often it is tried. */
function boundTransfer({ local, remote, options }: TransferRequest): Readonly<Record<string, Bound>> {
  const { recursive, delete: removes, mode, preserve, dryRun, insecureSkipVerify } = options
  const rules = options.rules?.map(({ effect, pattern }) => [effect, pattern])
  return { local, remote, recursive, delete: removes, mode: mode?.toString(8), preserve, dry_run: dryRun, insecure_skip_verify: insecureSkipVerify, rules }
}

/** A secret counts by its name alone: of its value not even a hash is written anywhere. */
function boundRun({ cwd, sudo, pty, env = {} }: RunRequest['options'], host: HostConfig): Readonly<Record<string, Bound>> {
  const values = Object.entries(env).map(([name, value]) => [name, value instanceof Secret ? null : { is: value }] as const)
  return { sudo: sudoUser(sudo ?? host.sudo), cwd, pty, env: values.length > 0 ? Object.fromEntries(values) : undefined }
}

const flag = <N extends string>(name: N, value: boolean | undefined): { readonly [K in N]?: true } => (value ? ({ [name]: true } as { readonly [K in N]?: true }) : {})

function describeRun({ command: given, options }: RunRequest): Description {
  refuseWrongTypes(options)
  const command = commandText(given)
  const judged = typeof given === 'string' ? { words: undefined, shellText: given } : { words: given, shellText: undefined }
  return { operation: 'run', command, ...environment(command, options.env), ...judged, bound: (host) => boundRun(options, host) }
}

function describeScript({ path, options }: ScriptRequest): Description {
  refuseWrongTypes(options)
  const words = [path, ...(options.args ?? [])]
  const command = [...(options.interpreter === undefined ? [] : [options.interpreter]), quoteWords(words)].join(' ')
  const { interpreter, remote, keep } = options
  const bound = (host: HostConfig): Readonly<Record<string, Bound>> => ({ ...boundRun(options, host), interpreter, remote, keep })
  return { operation: 'script', command, ...environment(command, options.env), words, shellText: interpreter, bound, ...(!remote && { script: new LocalScript(path) }) }
}

function environment(command: string, env: RunRequest['options']['env'] = {}): Pick<Description, 'fields' | 'secrets'> {
  const names = Object.keys(env)
  const secrets = Object.values(env).filter((value) => value instanceof Secret)
  return { fields: { command, ...(names.length > 0 ? { env_names: names } : {}) }, secrets }
}

/** The finish record of a run. */
export function runFinish(result: RunResult, connection: ConnectionInfo | undefined): FinishFields {
  return {
    status: result.success ? 'success' : 'error',
    ended: result.ended,
    exit_code: result.exitCode,
    error_code: result.error?.code ?? null,
    execution_time: result.executionTime,
    attempts: result.attempts,
    ...(result.failures.length > 0 ? { attempt_errors: result.failures } : {}),
    ...connectionFields(connection),
    stdout_bytes: result.stdoutBytes,
    stderr_bytes: result.stderrBytes,
    killed: result.killed,
  }
}

/** The finish record of a transfer. */
export function transferFinish(result: TransferResult, connection: ConnectionInfo | undefined): FinishFields {
  return {
    status: result.success ? 'success' : 'error',
    error_code: result.error?.code ?? null,
    execution_time: result.executionTime,
    attempts: result.attempts,
    ...connectionFields(connection),
    ...(result.sizeBytes === null ? {} : { size_bytes: result.sizeBytes, sha256: result.sha256 }),
    ...(result.tree ? treeFields(result.tree) : {}),
  }
}

function treeFields({ files, unchanged, deleted, failed }: TreeFacts): Pick<FinishFields, 'files' | 'unchanged' | 'deleted' | 'failed'> {
  return { files: files.size, unchanged, deleted, failed }
}

/** The finish record of what failed before it had a result of its own. */
export function errorFinish(error: RemexError, connection: ConnectionInfo | undefined): FinishFields {
  return { status: 'error', error_code: error.code, ...connectionFields(connection) }
}

/** The finish record of a check or a step that went well. */
export function stepFinish(connection: ConnectionInfo | undefined): FinishFields {
  return { status: 'success', ...connectionFields(connection) }
}

function connectionFields(connection: ConnectionInfo | undefined): Pick<FinishFields, 'engine' | 'kex' | 'cipher' | 'host_key'> {
  if (!connection) return { engine: null }
  const { engine, kex, cipher, hostKey } = connection
  return { engine, kex, cipher, host_key: hostKey.fingerprint }
}

