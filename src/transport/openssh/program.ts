import { execFile } from 'node:child_process'
import { remexError, type RemexError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'

/** Before it there was no proxy mode in the multiplexing of OpenSSH. */
const OLDEST: Version = [7, 4]

/** `[9, 2]` */
export type Version = readonly [major: number, minor: number]

/** This machine's `ssh`. */
export interface SshProgram {
  readonly version: Version
  /** Whether it knows this algorithm, of whatever category. */
  readonly knows: (algorithm: string) => boolean
}

/** Whether `program` is at least of this version. */
export function isSince({ version: [major, minor] }: SshProgram, [wantedMajor, wantedMinor]: Version): boolean {
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
}

/** Names of algorithms are unlike in all categories, so the answers may come in any order. */
const QUESTIONS = 'command -v ssh >/dev/null || exit 127; ssh -V 2>&1 & for what in kex cipher mac key; do ssh -Q $what & done; wait'

/**
 * Asks the `ssh` of the `PATH` in `env` what it can do. Rejects with `LOCAL_NOT_FOUND` where there is none, or none of
 * OpenSSH 7.4 or later; the message names no host.
 */
export function askProgram(env: Pick<NodeJS.ProcessEnv, string>): Promise<SshProgram> {
  return new Promise((resolve, reject) => {
    execFile('/bin/sh', ['-c', QUESTIONS], { env: { PATH: env['PATH'], LC_ALL: 'C' }, timeout: 10_000 }, (error, stdout) => {
      try {
        if (error?.killed === true) throw unfit('it does not answer')
        if (error) throw missing(error.code === 127 ? undefined : error)
        resolve(programOf(stdout))
      } catch (reason) {
        reject(reason instanceof Error ? reason : new Error(String(reason)))
      }
    })
  })
}

function programOf(answers: string): SshProgram {
  const lines = answers.split(/\r?\n/)
  const named = lines.find((line) => /^OpenSSH_/.test(line))
  const [, major, minor] = /^OpenSSH_(?:for_Windows_)?(\d+)\.(\d+)/.exec(named ?? '') ?? []
  if (major === undefined || minor === undefined) throw unfit(`it calls itself ${printable((lines[0] ?? '').slice(0, 100)) || 'nothing'}`)
  const known = new Set(lines)
  const program: SshProgram = { version: [Number(major), Number(minor)], knows: (algorithm) => known.has(algorithm) || isUnlisted(algorithm, known) }
  if (!isSince(program, OLDEST)) throw unfit(`it is OpenSSH ${major}.${minor}`)
  return isSince(program, [7, 8]) ? program : { ...program, knows: (algorithm) => !/^rsa-sha2-.*-cert-/.test(algorithm) && program.knows(algorithm) }
}

/** RSA is listed by the type of its key, not by what signs with it. */
function isUnlisted(algorithm: string, known: ReadonlySet<string>): boolean {
  const found = /^rsa-sha2-(?:256|512)(-cert-v01@openssh\.com)?$/.exec(algorithm)
  return found !== null && known.has(`ssh-rsa${found[1] ?? ''}`)
}

const HINT = 'Install it (Debian: apt install openssh-client), or set engine: ssh2 for hosts that do not need it.'

function missing(cause: unknown): RemexError {
  return remexError('LOCAL_NOT_FOUND', 'the engine openssh needs the program ssh, which is not installed here', { hint: HINT, cause })
}

function unfit(what: string): RemexError {
  return remexError('LOCAL_NOT_FOUND', `the engine openssh needs the ssh of OpenSSH ${OLDEST.join('.')} or later, and ${what}`, { hint: HINT })
}
