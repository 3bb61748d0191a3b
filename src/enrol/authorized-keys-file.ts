import { remexError, type RemexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import { quoteWord } from '../core/quote.ts'
import type { HostSteps } from '../fleet/steps.ts'

/** What a change does to the text of the file; `undefined` for none. */
export type Edit<T> = (text: string) => { readonly text: string; readonly result: T }

/** A change that was made. */
export interface Edited<T> {
  readonly result: T
  /** Whether the file is another one now. */
  readonly changed: boolean
  /** What had modes that sshd refuses (StrictModes), and was mended: `~/.ssh (drwxrwxrwx)`. */
  readonly repaired: readonly string[]
}

/** Others may change the file at the same time; each time that happens it is read anew. */
const TRIES = 20

/** How the scripts below exit when they do not do what they are for. */
const NO_HOME = 64
const NOT_A_FILE = 65
const NOT_READABLE = 66
const NOT_WRITABLE = 70
const LOCKED = 71
const CHANGED = 75

/** Where the file is: a link is followed, and stays. */
const LOCATE = `cd || exit ${NO_HOME}; f=.ssh/authorized_keys; if [ -L "$f" ]; then f=$(readlink -f "$f") && [ -n "$f" ] || exit ${NOT_A_FILE}; fi; [ ! -e "$f" ] || [ -f "$f" ] || exit ${NOT_A_FILE}; `

/** The state of the file as one line, that a later writer compares; then its content. */
const READ = `${LOCATE}if [ ! -e "$f" ]; then echo absent; exit; fi; [ -r "$f" ] || exit ${NOT_READABLE}; cksum <"$f"; cat "$f"`

/** The text of the login's `~/.ssh/authorized_keys`, one character per byte; empty where there is none. */
export async function readAuthorizedKeys(on: HostSteps): Promise<string> {
  return (await read(on)).text
}

/**
 * Changes the login's `~/.ssh/authorized_keys`: a link to it is followed and stays, its mode and owner are kept, modes that sshd
 * refuses are mended, and it is replaced by rename, so that nobody ever finds half of it. What another process wrote meanwhile is kept.
 * Rejects with `PERMISSION_DENIED`, `NO_SPACE`, `TRANSFER_FAILED`, and as connecting does; the file is then as it was.
 */
export async function editAuthorizedKeys<T>(on: HostSteps, edit: Edit<T>): Promise<Edited<T>> {
  for (let tries = 1; tries <= TRIES; tries++) {
    const before = await read(on)
    const { text, result } = edit(before.text)
    const changed = text !== before.text
    const { exitCode, stdout, stderr } = await on.run(writeScript(before.state, text, changed), changed ? { stdin: Buffer.from(text, 'latin1') } : {})
    if (exitCode === CHANGED) continue
    if (exitCode !== 0) throw failure(on, exitCode, stderr)
    return { result, changed, repaired: stdout.toString('utf8').split('\n').filter((line) => line !== '').map(printable) }
  }
  throw remexError('TRANSFER_FAILED', `~/.ssh/authorized_keys on ${on.host.id} is changed by somebody else all the time`, { vmId: on.host.id, hint: 'Nothing was changed. Find out who writes it, then repeat.' })
}

/** A file as it was at one moment. */
interface Reading {
  /** What a later writer compares. */
  readonly state: string
  readonly text: string
}

async function read(on: HostSteps): Promise<Reading> {
  for (let tries = 1; tries <= TRIES; tries++) {
    const { exitCode, stdout, stderr } = await on.run(READ)
    if (exitCode !== 0) throw failure(on, exitCode, stderr)
    const reading = parse(stdout.toString('latin1'))
    if (reading) return reading
  }
  throw remexError('TRANSFER_FAILED', `~/.ssh/authorized_keys on ${on.host.id} could not be read as a whole`, { vmId: on.host.id, hint: 'Repeat. If it stays: does the login print something by itself, or is the file over 4 MiB?' })
}

/** Undefined where state and text are of different files: it was replaced between the two. */
function parse(said: string): Reading | undefined {
  const end = said.indexOf('\n')
  const [state, text] = [said.slice(0, end), said.slice(end + 1)]
  const isWhole = state === 'absent' ? text === '' : Number(state.split(' ')[1]) === text.length
  return isWhole ? { state, text } : undefined
}

/**
 * Modes first: sshd refuses keys while others could write the file, its directory or the home. Then, under a lock that a killed
 * writer leaves for a minute at most, the new file beside the old one, compared in size, so that input which was cut is never taken.
 */
function writeScript(state: string, text: string, changed: boolean): string {
  const mend = `mend() { if [ -e "$1" ]; then case $(ls -Lld "$1") in ?????w*|????????w*) s=$(ls -Lld "$1"); chmod go-w "$1" && echo "$2 (\${s%% *})";; esac; fi; }; `
  const modes = `${mend}mend . '~'; mend .ssh '~/.ssh'; mend "$f" '~/.ssh/authorized_keys'; `
  if (!changed) return `${LOCATE}${modes}exit 0`
  const lock = `l=.ssh/.remex-lock; n=0; until m=$(LC_ALL=C mkdir "$l" 2>&1); do case $m in *'File exists'*) ;; *) echo "$m" >&2; exit ${NOT_WRITABLE};; esac; [ -z "$(find "$l" -prune -mmin +1 2>/dev/null)" ] || rmdir "$l" 2>/dev/null; n=$((n+1)); [ "$n" -lt 400 ] || exit ${LOCKED}; sleep 0.1 2>/dev/null || { n=$((n+9)); sleep 1; }; done; `
  const unlock = `t=; trap 'rm -f "$t"; rmdir "$l"' EXIT; trap 'exit 130' HUP INT TERM; `
  const compare = `if [ -e "$f" ]; then s=$(cksum <"$f"); else s=absent; fi; [ "$s" = ${quoteWord(state)} ] || exit ${CHANGED}; `
  const beside = `d=$(dirname "$f"); t=$(mktemp "$d/.remex-XXXXXX") || exit ${NOT_WRITABLE}; if [ -e "$f" ]; then cp -p "$f" "$t" || exit ${NOT_WRITABLE}; chmod u+w "$t"; fi; `
  const replace = `cat >"$t" || exit ${NOT_WRITABLE}; [ "$(wc -c <"$t")" -eq ${text.length} ] || exit ${NOT_WRITABLE}; sync "$t" 2>/dev/null || sync; mv -f "$t" "$f" || exit ${NOT_WRITABLE}; t=; `
  const label = `if command -v restorecon >/dev/null; then restorecon -F .ssh "$f" >/dev/null 2>&1; fi; `
  return `${LOCATE}umask 077; mkdir -p .ssh || exit ${NOT_WRITABLE}; ${modes}${lock}${unlock}${compare}${beside}${replace}${label}exit 0`
}

function failure(on: HostSteps, exitCode: number | null, stderr: Buffer): RemexError {
  const vmId = on.host.id
  const said = printable(stderr.toString('utf8').trim().split('\n').at(-1)?.slice(0, 300) ?? '')
  const because = said === '' ? '' : `: ${said}`
  const file = `~/.ssh/authorized_keys of ${printable(on.host.login)} on ${vmId}`
  const hint = 'Nothing was changed. Mend it on the host, then repeat.'
  if (/no space left|quota exceeded/i.test(said)) return remexError('NO_SPACE', `${file} cannot be written${because}`, { vmId })
  switch (exitCode) {
    case NO_HOME:
      return remexError('PERMISSION_DENIED', `the home of ${printable(on.host.login)} on ${vmId} cannot be entered${because}`, { vmId, hint })
    case NOT_A_FILE:
      return remexError('PERMISSION_DENIED', `${file} is not a file, or a link that leads nowhere${because}`, { vmId, hint })
    case NOT_READABLE:
      return remexError('PERMISSION_DENIED', `${file} cannot be read`, { vmId, hint })
    case NOT_WRITABLE:
      return remexError('PERMISSION_DENIED', `${file} cannot be written${because}`, { vmId, hint })
    case LOCKED:
      return remexError('PERMISSION_DENIED', `${file} is locked by another writer`, { vmId, hint: 'Nothing was changed. If no other remex is at work there, remove ~/.ssh/.remex-lock on the host.' })
    default:
      return remexError('TRANSFER_FAILED', `${file} could not be worked on (exit status ${exitCode ?? 'unknown'})${because}`, { vmId, hint })
  }
}
