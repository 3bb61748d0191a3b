import { open } from 'node:fs/promises'
import { addAbortSignal, type Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { Command } from 'commander'
import { cancelledError } from '../core/abort.ts'
import { localFileError } from '../core/atomic-file.ts'
import { remexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import type { HostCount } from '../fleet/batches.ts'
import type { GroupRunOptions } from '../fleet/group.ts'
import { complain } from './complaint.ts'
import type { Door } from './door.ts'
import { parseEnvironment } from './environment.ts'
import type { ViewFlags } from './run-report.ts'
import { collected, countOrShare, durationText, runIdText, sizeBytes, wholeNumber } from './values.ts'

/** The options of `run` and `script` as commander gives them. */
export interface RunFlags {
  readonly timeout?: string
  readonly cwd?: string
  readonly env?: readonly string[]
  readonly secretEnv?: readonly string[]
  readonly stdin?: boolean
  readonly input?: string
  readonly sudo?: string
  readonly pty?: boolean
  readonly durable?: boolean
  readonly detach?: boolean
  readonly runId?: string
  readonly idempotent?: boolean
  readonly retries?: number
  readonly parallel?: number
  readonly batch?: HostCount
  readonly canary?: number
  readonly pause?: string
  readonly check?: string
  readonly maxFailures?: HostCount
  readonly retryFailed?: string
  readonly gather?: boolean
  readonly diff?: boolean
  readonly outDir?: string
  readonly live?: boolean
  readonly maxOutput?: number
  readonly dryRun?: boolean
}

/** What the first argument of most commands is. */
export const TARGETS = 'hosts: vm01 · vm01,vm03 · vm[01-04] · @group · all · !vm03'

/** Gives `command` the options that `run` and `script` share. */
export function addRunOptions(command: Command): Command {
  return command
    .option('--timeout <duration>', 'end the run and all its processes after this long: 500ms, 30s, 5m, 2h, none (default: default_timeout, 30s)', durationText('--timeout'))
    .option('--cwd <dir>', 'directory on the host to start in (default: the home of the login)')
    .option('--env <name=value>', 'set a variable; may be repeated', collected)
    .option('--secret-env <name[=value]>', 'set a variable whose value nobody sees; without a value it is taken from the environment here', collected)
    .option('--stdin', 'pass our standard input on')
    .option('--input <file>', 'pass a local file as standard input')
    .option('--sudo [=user]', 'run it by sudo, as root or that user; never asks for a password')
    .option('--pty', 'run it on a terminal of its own')
    .option('--durable', 'supervised on the host: it survives the end of the connection and of this process')
    .option('--detach', 'durable: start it, print its run id, and return')
    .option('--run-id <id>', 'durable: under this id, by which it never starts twice on a host', runIdText)
    .option('--idempotent', 'running it twice is harmless: repeat it after a lost connection too')
    .option('--retries <n>', 'attempts, where a repeat cannot run it twice (default: default_retry, 3)', wholeNumber('--retries', 1))
    .option('--parallel <n>', 'hosts at a time (default: max_parallel_commands, 32)', wholeNumber('--parallel', 1))
    .option('--batch <n|n%>', 'so many hosts, or such a share of all; the next so many when those are done (default: all)', countOrShare('--batch', 1))
    .option('--canary <n>', 'the first so many hosts before all others; a failure among them stops everything', wholeNumber('--canary', 1))
    .option('--pause <duration>', 'wait so long between batches, and before each check', durationText('--pause'))
    .option('--check <text>', 'shell text, run on the hosts of a batch that succeeded; where it fails the host counts as failed')
    .option('--max-failures <n|n%>', 'once more hosts have failed, try no other (default: 0 with --batch, else no limit)', countOrShare('--max-failures', 0))
    .option('--retry-failed <op-id>', 'only those hosts that did not succeed in that run of the same command')
    .option('--gather', 'print equal output once, at the end, with the hosts that gave it')
    .option('--diff', 'as --gather; what is not as on most hosts is shown by how it differs')
    .option('--out-dir <dir>', 'also write the output of each host to files: <dir>/<host>.out, <dir>/<host>.err')
    .option('--no-live', 'on a terminal: print the lines of several hosts as they come, in place of a live view')
    .option('--max-output <bytes>', 'with --json: keep this much of each stream, as 65536, 64k, 10M (default: max_output_bytes, 10M)', sizeBytes('--max-output'))
    .option('--dry-run', 'say what would run where; send nothing')
}

/** The options as the library takes them. Input is opened, and `USAGE` or `LOCAL_NOT_FOUND` thrown for what cannot be. */
export async function readRunOptions(flags: RunFlags, door: Door): Promise<GroupRunOptions> {
  refuseWithDetach(flags)
  const env = parseEnvironment(flags.env ?? [], flags.secretEnv ?? [], door.env)
  if (flags.sudo === '') throw remexError('USAGE', '--sudo= names no user')
  const input = flags.dryRun ? undefined : await openInput(flags, door)
  // The host keeps it for the run, which begins only when all of it is there.
  const stdin = input && isDurable(flags) ? await whole(input, door) : input
  const { timeout, cwd, sudo, pty, idempotent, retries, parallel, maxOutput: maxOutputBytes, runId } = flags
  const kept = { ...(isDurable(flags) && { durable: true }), ...(runId !== undefined && { runId }) }
  const { batch, canary, pause, check, maxFailures } = flags
  return { env, timeout, cwd, sudo, pty, idempotent, retries, parallel, maxOutputBytes, stdin, batch, canary, pause, check, maxFailures, ...kept }
}

/** Options that need the end of what was started. */
const WAITING = [['batch', '--batch'], ['canary', '--canary'], ['pause', '--pause'], ['check', '--check'], ['maxFailures', '--max-failures'], ['retryFailed', '--retry-failed']] as const

function refuseWithDetach(flags: RunFlags): void {
  if (!flags.detach) return
  for (const [name, option] of WAITING) {
    if (flags[name] !== undefined) throw remexError('USAGE', `--detach waits for no end, so ${option} cannot be used with it`, { hint: 'Use --durable, which waits and survives the end of the connection.' })
  }
}

/** What is to be done with the output. Throws `USAGE` where it cannot be done together. */
export function viewFlags({ gather = false, diff = false, outDir, live = true, detach }: RunFlags, { globals }: Pick<Door, 'globals'>): ViewFlags {
  const name = diff ? '--diff' : '--gather'
  if (outDir === '') throw remexError('USAGE', '--out-dir names no directory')
  if (detach && (gather || diff || outDir !== undefined)) {
    throw remexError('USAGE', `--detach waits for no output, so ${gather || diff ? name : '--out-dir'} has none`, { hint: 'Leave --detach out, or see the output later: remex runs attach <run-id>' })
  }
  if (globals.json && (gather || diff)) {
    throw remexError('USAGE', `--json and ${name} cannot be used together`, { hint: `Leave ${name} out: with --json every host has an object with its own output.` })
  }
  return { gather: gather || diff, diff, outDir, live }
}

/** Whether the run is to outlive us. */
export function isDurable({ durable, detach, runId }: RunFlags): boolean {
  return durable === true || detach === true || runId !== undefined
}

async function openInput({ stdin, input }: RunFlags, door: Door): Promise<Readable | undefined> {
  if (stdin && input !== undefined) throw remexError('USAGE', '--stdin and --input cannot be used together')
  if (stdin) return process.stdin
  return input === undefined ? undefined : openFile(input, door)
}

async function whole(input: Readable, door: Door): Promise<Buffer> {
  try {
    return await door.stop.during(() => buffer(addAbortSignal(door.stop.signal, input)))
  } catch (error) {
    // A file that cannot be read to its end was complained of already.
    if (door.stop.status !== undefined) throw cancelledError(door.stop.signal, 'reading the input')
    throw error
  }
}

/** Opens now what is read later, so that a file that is not there stops everything before anything is sent. */
async function openFile(path: string, door: Door): Promise<Readable> {
  const file = await open(path, 'r').catch((error: unknown) => {
    throw localFileError(error, path)
  })
  if ((await file.stat()).isDirectory()) {
    await file.close()
    throw remexError('USAGE', `--input: ${printable(path)} is a directory`)
  }
  const stream = file.createReadStream()
  // A command must not take half a file for a whole one.
  stream.once('error', (error) => {
    complain(door, localFileError(error, path))
    door.stop.cancel(125)
  })
  return stream
}
