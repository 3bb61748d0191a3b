import { execFile } from 'node:child_process'
import { errorCode, systemReason } from '../../core/atomic-file.ts'
import { formatDurationMs } from '../../core/duration.ts'
import { remexError, type RemexError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import { quoteWords } from '../../core/quote.ts'
import { hostName } from './host-name.ts'

/** Of which host the settings of `ssh` are asked, and what its own entry says, which comes before them. */
export interface SshConfigQuestion {
  /** The host's id, for messages. */
  readonly vmId: string
  /** The name by which they know the host. */
  readonly alias: string
  /** Undefined: the user's own file, and the system's. */
  readonly file: string | undefined
  /** Name or IP address, without brackets. Default: theirs, else the alias. */
  readonly address?: string | undefined
  /** Default: theirs, else 22. */
  readonly port?: number | undefined
  /** Default: theirs, else the user who runs this. */
  readonly login?: string | undefined
}

/** How `ssh` would reach a host. */
export interface SshConfigAnswer {
  readonly address: string
  readonly port: number
  readonly login: string
  /** The name under which known_hosts files know the host, in place of its address. */
  readonly hostKeyAlias?: string
  /** Whether there is a `ProxyJump` or a `ProxyCommand`: then the address means something on the way only. */
  readonly proxied: boolean
}

/** More than the settings of any host are. */
const MOST_OUTPUT_BYTES = 256 * 1024
/** `Match exec` runs programs, and names may have to be looked up. */
const LONGEST_MS = 30_000
/** What ssh says of a mistake is a line or two. */
const MOST_SAID = 200

/**
 * Asks this machine's `ssh`, found by the `PATH` of `env`, what its settings say (`ssh -G`); each question once, but for those that
 * failed. Nothing is connected to; `Match exec` is run. Rejects with `LOCAL_NOT_FOUND` where `ssh` cannot be started, and with
 * `CONFIG_INVALID` and its own words where it refuses its settings, or does not come to an end within `limitMs` (default: 30 s).
 */
export function resolveBySshConfig(env: Pick<NodeJS.ProcessEnv, string>, { limitMs = LONGEST_MS } = {}): (question: SshConfigQuestion) => Promise<SshConfigAnswer> {
  const answers = new Map<string, Promise<SshConfigAnswer>>()
  const { HOME, PATH, SSH_AUTH_SOCK } = env
  const asking = { env: { HOME, PATH, SSH_AUTH_SOCK, LC_ALL: 'C' }, limitMs }
  return (question) => {
    const name = JSON.stringify(question)
    const before = answers.get(name)
    if (before) return before
    const answer = ask(question, asking).then((printed) => answerIn(printed, question))
    answers.set(name, answer)
    // Somebody may mend the file while this runs.
    answer.catch(() => answers.delete(name))
    return answer
  }
}

interface Asking {
  readonly env: NodeJS.ProcessEnv
  readonly limitMs: number
}

function ask(question: SshConfigQuestion, { env, limitMs }: Asking): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { env, timeout: limitMs, maxBuffer: MOST_OUTPUT_BYTES, killSignal: 'SIGKILL' as const }
    const child = execFile('ssh', sshArguments(question), options, (error, printed, said) => {
      if (error) reject(failure(question, { error, said, limitMs }))
      else resolve(printed)
    })
    child.stdin?.end()
  })
}

/** Without `-T` it warns that there is no terminal, and without `-N` it refuses `ForkAfterAuthentication`. */
function sshArguments({ alias, file, address, port, login }: SshConfigQuestion): string[] {
  const own = [
    ...(file === undefined ? [] : ['-F', file]),
    ...(address === undefined ? [] : hostName(address)),
    ...(port === undefined ? [] : ['-p', String(port)]),
    ...(login === undefined ? [] : ['-l', login]),
  ]
  return ['-G', '-T', '-N', ...own, '--', alias]
}

function failure(question: SshConfigQuestion, { error, said, limitMs }: { readonly error: Error & { readonly killed?: boolean }; readonly said: string; readonly limitMs: number }): RemexError {
  const code = errorCode(error)
  if (code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return refused(question, `it says more than ${MOST_OUTPUT_BYTES / 1024} KiB`)
  if (code !== undefined) return notStarted(question, error)
  if (error.killed === true) return refused(question, `it did not come to an end within ${formatDurationMs(limitMs)}`)
  const lines = said.split(/\r?\n/).map((line) => line.trim()).filter((line) => line !== '')
  return refused(question, lines.length === 0 ? 'it gives no reason' : printable(lines.join('; ')))
}

function notStarted({ vmId }: SshConfigQuestion, cause: Error): RemexError {
  const why = errorCode(cause) === 'ENOENT' ? 'is not installed here' : `cannot be started: ${systemReason(cause)}`
  return remexError('LOCAL_NOT_FOUND', `${vmId} has ssh_config, and OpenSSH’s ssh ${why}`, {
    vmId,
    hint: 'Install it (Debian: apt install openssh-client), or take ssh_config out of the entry of the host.',
    cause,
  })
}

function refused({ vmId, alias, file }: SshConfigQuestion, why: string): RemexError {
  const reason = why.length > MOST_SAID ? `${why.slice(0, MOST_SAID - 1)}…` : why
  const place = file === undefined ? '' : ` in ${printable(file)}`
  const show = quoteWords(['ssh', '-G', ...(file === undefined ? [] : ['-F', file]), alias])
  return remexError('CONFIG_INVALID', `ssh refuses its settings of ${printable(alias)}${place} for ${vmId}: ${reason}`, {
    vmId,
    hint: `Mend them, ${printable(show)} shows what they come to; or take ssh_config out of the entry of the host.`,
  })
}

/** Of a setting that is there more than once, the first counts, as with ssh. */
function answerIn(printed: string, question: SshConfigQuestion): SshConfigAnswer {
  const lines = printed.split('\n').map((line) => /^(\S+) (.*)$/.exec(line)?.slice(1) ?? [])
  const valueOf = (name: string): string | undefined => lines.find(([key]) => key === name)?.[1]
  const isSet = (name: string): boolean => (valueOf(name) ?? 'none').toLowerCase() !== 'none'
  const [address, login, port] = [valueOf('hostname'), valueOf('user'), Number(valueOf('port'))]
  if (address === undefined || login === undefined || !Number.isInteger(port)) throw refused(question, 'it does not name address, port and login')
  if (!/^[^\s\p{Cc}-][^\s\p{Cc}]*$/u.test(address)) throw refused(question, `${printable(address)} is not an address`)
  const hostKeyAlias = valueOf('hostkeyalias')
  return { address, port, login, ...(hostKeyAlias !== undefined && { hostKeyAlias }), proxied: isSet('proxyjump') || isSet('proxycommand') }
}
