import type { RunResult } from './core/outcome.ts'
import { remexError, withDetails } from './core/errors.ts'
import type { Duration } from './core/duration.ts'
import type { Secret } from './core/secret.ts'
import type { RunOptions, ScriptOptions, TransferOptions } from './fleet/requests.ts'
import { Remex } from './remex.ts'

/** Options that all four functions of the original service take. Unknown ones are refused with `USAGE`. */
export interface CompatOptions {
  /** Path of a configuration file. */
  readonly configPath?: string
  /** The configuration itself; wins over `configPath`. */
  readonly config?: Readonly<Record<string, unknown>>
  /** Attempts. Default: `default_retry`. */
  readonly retries?: number
}

/** Options of {@link executeRemoteCommand}. */
export interface CompatCommandOptions extends CompatOptions {
  /** Directory on the host; a missing one stops everything. */
  readonly workingDirectory?: string
  readonly environment?: Readonly<Record<string, string | Secret>>
}

/** Options of {@link executeRemoteScript}. */
export interface CompatScriptOptions extends CompatCommandOptions {
  /** Send `localScriptPath` to `scriptPath` first; it stays there, as in the original. */
  readonly uploadFirst?: boolean
  readonly localScriptPath?: string
  readonly args?: readonly string[]
  /** The program that runs it, as shell words. Default: the script's first line decides. */
  readonly interpreter?: string
  /** False: with `uploadFirst`, send the script without comparing checksums. Default: true. */
  readonly verifyChecksum?: boolean
}

/** Options of {@link uploadFile} and {@link downloadFile}. */
export interface CompatTransferOptions extends CompatOptions {
  /** Limit for the whole transfer. Default: 60 s, as in the original. */
  readonly timeout?: Duration
  /** False: take what arrived without comparing checksums; the receipt then says that it is not verified. Default: true. */
  readonly verifyChecksum?: boolean
}

const COMMON = ['configPath', 'config', 'retries']
const COMMAND = [...COMMON, 'workingDirectory', 'environment', 'timeout', 'verifyChecksum']
const SCRIPT = [...COMMAND, 'uploadFirst', 'localScriptPath', 'args', 'interpreter']
const TRANSFER = [...COMMON, 'timeout', 'verifyChecksum']

/**
 * Runs shell text on a host. `timeout` in seconds, or a duration. Any exit code is a result.
 * Throws `CommandTimeoutError` at the deadline, with the output so far and the verdict in `result`;
 * `SSHConnectionError`, `HostKeyMismatchError`, `AuthenticationError` or another `RemexError` where there is no result.
 */
export async function executeRemoteCommand(
  vmId: string,
  command: string,
  user: string,
  timeout: Duration,
  options: CompatCommandOptions = {},
): Promise<RunResult> {
  refuseUnknown(options, COMMAND)
  return withRemex(user, options, async (remex) => endedInTime(await remex.host(vmId).run(command, runOptions(timeout, options))))
}

/**
 * Runs the script at `scriptPath` on a host, sent there first with `uploadFirst`. Results and errors as
 * {@link executeRemoteCommand}; `USAGE` for `uploadFirst` without `localScriptPath`.
 */
export async function executeRemoteScript(
  vmId: string,
  scriptPath: string,
  user: string,
  timeout: Duration,
  options: CompatScriptOptions = {},
): Promise<RunResult> {
  refuseUnknown(options, SCRIPT)
  const { uploadFirst = false, localScriptPath, args, interpreter } = options
  if (uploadFirst && localScriptPath === undefined) throw remexError('USAGE', 'uploadFirst needs localScriptPath, the script to send')
  return withRemex(user, options, async (remex) => {
    const host = remex.host(vmId)
    if (uploadFirst && localScriptPath !== undefined) await host.put(localScriptPath, scriptPath, { ...transferOptions({ ...options, timeout }), mode: 0o755 })
    const script: ScriptOptions = { ...runOptions(timeout, options), remote: true, ...given({ args, interpreter }) }
    return endedInTime(await host.script(scriptPath, script))
  })
}

/** Sends a file, verified by SHA-256 at both ends unless `verifyChecksum` is false. Throws when it did not arrive whole; the old file is then untouched. */
export async function uploadFile(vmId: string, localPath: string, remotePath: string, user: string, options: CompatTransferOptions = {}): Promise<void> {
  refuseUnknown(options, TRANSFER)
  await withRemex(user, options, (remex) => remex.host(vmId).put(localPath, remotePath, transferOptions(options)))
}

/** Fetches a file, verified by SHA-256 at both ends unless `verifyChecksum` is false. Throws when it did not arrive whole; the old file is then untouched. */
export async function downloadFile(vmId: string, remotePath: string, localPath: string, user: string, options: CompatTransferOptions = {}): Promise<void> {
  refuseUnknown(options, TRANSFER)
  await withRemex(user, options, (remex) => remex.host(vmId).get(remotePath, localPath, transferOptions(options)))
}

async function withRemex<T>(user: string, { config, configPath }: CompatOptions, work: (remex: Remex) => Promise<T>): Promise<T> {
  const remex = await Remex.open({ user, ...given({ config: config ?? configPath }) })
  try {
    return await work(remex)
  } finally {
    await remex.close()
  }
}

function runOptions(timeout: Duration, { workingDirectory, environment, retries }: CompatCommandOptions): RunOptions {
  return { timeout, ...given({ cwd: workingDirectory, env: environment, retries }) }
}

function transferOptions({ timeout = 60, retries, verifyChecksum }: CompatTransferOptions): TransferOptions {
  return { timeout, ...given({ retries, insecureSkipVerify: verifyChecksum === undefined ? undefined : !verifyChecksum }) }
}

function endedInTime(result: RunResult): RunResult {
  if (result.error) throw withDetails(result.error, { result })
  return result
}

/** The original swallowed options that it did not know, so that a typo went unseen. */
function refuseUnknown(options: object, known: readonly string[]): void {
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw remexError('USAGE', `there is no option ${JSON.stringify(name)}`, { hint: `There are: ${known.join(', ')}` })
  }
}

/** Only what is set: an option of `undefined` is an option that was not given. */
function given<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> }
}
