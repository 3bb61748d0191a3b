import { Readable } from 'node:stream'
import type { HostConfig, Settings } from '../config/types.ts'
import { parseDurationMs } from '../core/duration.ts'
import { remexError, type RemexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import { quoteWords } from '../core/quote.ts'
import { Secret } from '../core/secret.ts'
import type { Invocation } from '../session/invocation.ts'
import type { Command, RunOptions, ScriptOptions } from './requests.ts'

/** Options that were decided for one host: everything of an {@link Invocation} but its id and text. */
export type DecidedOptions = Omit<Invocation, 'runId' | 'text'>

/**
 * Fills in what `options` leaves open from the host and the settings.
 * Throws `USAGE` naming the option that is wrong.
 */
export function decideOptions(options: RunOptions, host: HostConfig, settings: Settings): DecidedOptions {
  return {
    env: options.env ?? {},
    cwd: options.cwd,
    sudoUser: sudoUser(options.sudo ?? host.sudo),
    pty: options.pty ? {} : undefined,
    stdin: input(options.stdin),
    timeoutMs: options.timeout === undefined ? settings.defaultTimeoutMs : parseDurationMs(options.timeout, 'timeout'),
    maxOutputBytes: wholeNumber(options.maxOutputBytes ?? settings.maxOutputBytes, { what: 'maxOutputBytes', least: 0 }),
    idempotent: options.idempotent ?? false,
    attempts: decideAttempts(options.retries, settings),
    onOutput: options.onOutput,
    signal: options.signal,
  }
}

/** Whether the options ask for a durable run. Throws `USAGE` for an id that no run can have. */
export function isDurable({ durable, runId }: Pick<RunOptions, 'durable' | 'runId'>): boolean {
  if (runId === undefined) return durable ?? false
  if (typeof runId === 'string' && /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(runId)) return true
  throw remexError('USAGE', `runId: ${JSON.stringify(runId)} cannot be the id of a run`, { hint: 'Letters, digits, ., _ and -, at most 64, beginning with a letter or a digit.' })
}

/** How often to try. Throws `USAGE` for less than once. */
export function decideAttempts(retries: number | undefined, settings: Settings): number {
  return wholeNumber(retries ?? settings.defaultRetry, { what: 'retries', least: 1 })
}

/** The command as shell text. Throws `USAGE` for an empty one. */
export function commandText(command: Command): string {
  const words: readonly unknown[] = Array.isArray(command) ? command : [command]
  for (const word of words) if (typeof word !== 'string') throw wrongType('the command, or one of its words,', word, 'text')
  const text = typeof command === 'string' ? command : quoteWords(command)
  if (text.trim() === '') throw remexError('USAGE', 'there is no command')
  return text
}

/** As whom sudo runs a command; undefined: it does not. */
export function sudoUser(sudo: boolean | string): string | undefined {
  if (sudo === false || sudo === '') return undefined
  return sudo === true ? 'root' : sudo
}

function input(stdin: RunOptions['stdin']): Invocation['stdin'] {
  if (stdin === undefined || stdin instanceof Readable) return stdin
  return typeof stdin === 'string' ? Buffer.from(stdin) : Buffer.from(stdin.buffer, stdin.byteOffset, stdin.byteLength)
}

function wholeNumber(value: number, { what, least }: { what: string; least: number }): number {
  if (Number.isSafeInteger(value) && value >= least) return value
  throw remexError('USAGE', `${what}: ${String(value)} is not a whole number of at least ${least}`)
}

/** Throws `USAGE` for an option of the wrong type, from callers without types. The value is not shown: it may be a secret. */
export function refuseWrongTypes({ env = {}, cwd, sudo, stdin, onOutput, signal, ...options }: RunOptions & Pick<ScriptOptions, 'args' | 'interpreter'>): void {
  const { args = [], interpreter } = options
  if (!isMap(env)) throw wrongType('env', env, 'a map of variables')
  for (const [name, value] of Object.entries(env)) if (!isText(value) && !(value instanceof Secret)) throw wrongType(`the value of ${printable(name)} in env`, value, 'text or a Secret')
  if (!Array.isArray(args)) throw wrongType('args', args, 'a list of words')
  for (const word of args) if (!isText(word)) throw wrongType('one of args', word, 'text')
  if (cwd !== undefined && !isText(cwd)) throw wrongType('cwd', cwd, 'text')
  if (interpreter !== undefined && !isText(interpreter)) throw wrongType('interpreter', interpreter, 'text')
  if (sudo !== undefined && !isText(sudo) && typeof sudo !== 'boolean') throw wrongType('sudo', sudo, 'true, false or a user name')
  if (stdin !== undefined && !isText(stdin) && !(stdin instanceof Uint8Array) && !(stdin instanceof Readable)) throw wrongType('stdin', stdin, 'text, bytes or a stream')
  if (onOutput !== undefined && typeof onOutput !== 'function') throw wrongType('onOutput', onOutput, 'a function')
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw wrongType('signal', signal, 'an AbortSignal')
}

const isText = (value: unknown): value is string => typeof value === 'string'

const isMap = (value: unknown): value is object => typeof value === 'object' && value !== null && !Array.isArray(value)

/** The error for a value of the wrong type. Names the type and never the value. */
export function wrongType(what: string, value: unknown, expected: string): RemexError {
  const type = value === null ? 'null' : Array.isArray(value) ? 'a list' : `of type ${typeof value}`
  return remexError('USAGE', `${what} is ${type}, not ${expected}`)
}
