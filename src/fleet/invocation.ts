import { Readable } from 'node:stream'
import type { HostConfig, Settings } from '../config/types.ts'
import { parseDurationMs } from '../core/duration.ts'
import { remexError } from '../core/errors.ts'
import { quoteWords } from '../core/quote.ts'
import type { Invocation } from '../session/invocation.ts'
import type { Command, RunOptions } from './requests.ts'

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

/** How often to try. Throws `USAGE` for less than once. */
export function decideAttempts(retries: number | undefined, settings: Settings): number {
  return wholeNumber(retries ?? settings.defaultRetry, { what: 'retries', least: 1 })
}

/** The command as shell text. Throws `USAGE` for an empty one. */
export function commandText(command: Command): string {
  const text = typeof command === 'string' ? command : quoteWords(command)
  if (text.trim() === '') throw remexError('USAGE', 'there is no command')
  return text
}

function sudoUser(sudo: boolean | string): string | undefined {
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
