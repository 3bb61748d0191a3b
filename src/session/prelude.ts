import { remexError } from '../core/errors.ts'
import { quoteWord } from '../core/quote.ts'
import { Secret } from '../core/secret.ts'
import type { PtyOptions } from '../transport/contract.ts'
import type { Invocation } from './invocation.ts'

/** What goes over the wire to start a command. */
export interface Prelude {
  /** The exec request. Means the same to sh, bash, zsh, fish and csh, whichever is the login shell. */
  readonly exec: string
  /** The same for a login whose shell is /bin/sh, which needs no second shell; undefined where it needs one. */
  readonly direct: string | undefined
  /** Bytes for standard input ahead of the command's own; empty when there are none. */
  readonly head: string
  /** What the command's first act is to print on standard error, when the run goes through sudo; else empty. */
  readonly startedMark: string
  /** The pty to ask for; with a head its line discipline is off until the head was read. */
  readonly pty: PtyOptions | undefined
}

/** RFC 4254 section 8: with these off a pty neither echoes, edits, cuts nor interprets what passes through it. */
const RAW_MODES = { ECHO: 0, ICANON: 0, ISIG: 0, ICRNL: 0, IXON: 0 }

type Parts = Pick<Invocation, 'runId' | 'text' | 'env' | 'cwd' | 'sudoUser' | 'pty'>

/**
 * Dropbear takes no command of more than 9,000 bytes, and Linux no argument of more than 128 KiB (MAX_ARG_STRLEN).
 * Longer text travels on standard input.
 */
const LONGEST_EXEC = 8 * 1024

/**
 * The exec request and the head of standard input for a command. Pure: what would be sent, without sending it.
 * Throws `USAGE` for names that are no variable names, for NUL characters and for an empty command.
 */
export function prelude(parts: Parts): Prelude {
  refuseUnsendable(parts)
  const startedMark = parts.sudoUser === undefined ? '' : `remex-started:${parts.runId}\n`
  const program = [announce(startedMark), enter(parts.cwd), parts.text].filter((step) => step !== '').join('; ')
  const inline = requests(parts, program)
  if (Object.keys(parts.env).length === 0 && inline.exec.length <= LONGEST_EXEC) return { ...inline, head: '', startedMark, pty: parts.pty }
  const end = `#${parts.runId}`
  const reader = `${readHead(end)}${parts.pty ? 'stty sane; ' : ''}eval "$remex_p"`
  const pty = parts.pty && { ...parts.pty, modes: RAW_MODES }
  return { ...requests(parts, reader), head: `${exports(parts.env)}${program}\n${end}\n`, startedMark, pty }
}

function refuseUnsendable({ text, env, cwd }: Parts): void {
  if (text.trim() === '') throw remexError('USAGE', 'there is no command')
  for (const [name, value] of Object.entries(env)) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw remexError('USAGE', `${JSON.stringify(name)} is no name for a variable`, { hint: 'Letters, digits and _, not beginning with a digit.' })
    if (reveal(value).includes('\0')) throw remexError('USAGE', `the value of ${name} has a NUL character, which no variable can hold`)
  }
  if (text.includes('\0') || cwd?.includes('\0')) throw remexError('USAGE', 'a command with a NUL character cannot be passed to a shell')
  if (cwd === '') throw remexError('USAGE', 'the working directory is empty')
}

/** A failing `cd` stops everything, with the shell's own message and status. */
function enter(cwd: string | undefined): string {
  return cwd === undefined ? '' : `CDPATH= cd -- ${directory(cwd)} || exit`
}

function directory(path: string): string {
  if (path === '~') return '"$HOME"'
  if (path.startsWith('~/')) return `"$HOME"/${quoteWord(path.slice(2))}`
  // `cd -` would go to the previous directory.
  return quoteWord(path === '-' ? './-' : path)
}

function announce(mark: string): string {
  return mark === '' ? '' : `echo ${mark.trimEnd()} >&2`
}

function exports(env: Parts['env']): string {
  return Object.entries(env).map(([name, value]) => `export ${name}=${quoteAlways(reveal(value))}\n`).join('')
}

const quoteAlways = (value: string): string => `'${value.replaceAll("'", String.raw`'\''`)}'`

const reveal = (value: string | Secret): string => (value instanceof Secret ? value.reveal() : value)

/**
 * Shell text that reads lines into remex_p up to the line `end`. `read` takes one byte at a time from a pipe, so
 * what follows is left for the command. An end that never comes (the connection broke) stops everything.
 */
function readHead(end: string): string {
  return `remex_p=; while IFS= read -r remex_l && [ "$remex_l" != '${end}' ]; do remex_p="$remex_p$remex_l\n"; done; [ "$remex_l" = '${end}' ] || exit 125; `
}

/**
 * The first process of the tree has the run id in its arguments, and hands it to all others in the environment:
 * by one or the other every process of the run is found in /proc.
 */
function requests({ runId, sudoUser }: Parts, program: string): Pick<Prelude, 'exec' | 'direct'> {
  const marked = `export REMEX_RUN_ID=${runId}; ${program}`
  if (sudoUser === undefined) return { exec: `exec /bin/sh -c ${shellArguments(marked)}`, direct: marked }
  return { exec: `exec sudo -n -u ${loginShellWord(sudoUser)} -- /bin/sh -c ${shellArguments(marked)}`, direct: undefined }
}

function loginShellWord(user: string): string {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*\$?$/.test(user)) throw remexError('USAGE', `${JSON.stringify(user)} is no user name for sudo`)
  return `'${user}'`
}

/**
 * In single quotes a login shell may still see: `'` (all), `\` (fish), `!` and a newline (csh), bytes above 127
 * (csh). A program without these is sent as it is; else they travel as `\0ooo`, which means nothing to any login
 * shell, and printf of the inner /bin/sh turns them back.
 */
function shellArguments(program: string): string {
  if (/^[\x20-\x7e]*$/.test(program) && !/['\\!]/.test(program)) return `'${program}'`
  return `'set -- "$(printf %b "$1")"; eval "shift; $1"' sh '${encode(program)}'`
}

function encode(program: string): string {
  return Array.from(Buffer.from(program, 'utf8'), (byte) => {
    const char = String.fromCharCode(byte)
    return byte >= 0x20 && byte < 0x7f && !"'\\!".includes(char) ? char : `\\0${byte.toString(8).padStart(3, '0')}`
  }).join('')
}
