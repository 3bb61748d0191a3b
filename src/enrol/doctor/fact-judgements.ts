import type { HostConfig } from '../../config/types.ts'
import { quoteWord } from '../../core/quote.ts'
import { failed, ok, skipped, warning, type Judgement } from './finding.ts'
import { valueOf, type FactName, type HostFacts } from './facts.ts'
import { judgeSpace, showSpace, type Space } from './space.ts'

/** When the facts were asked for and when they were there, by the clock of this machine. */
export interface Asked {
  readonly fromMs: number
  readonly toMs: number
}

/** What the facts are judged by. */
export interface FactContext extends Asked {
  readonly host: Pick<HostConfig, 'id' | 'login' | 'sudo'>
  /** The server's identification: untrusted. */
  readonly serverVersion: string
  /** How many logins may begin at the same time on this server. */
  readonly loginsAtOnce: number
}

/** What a host said of itself, judged: everything from the shell on. */
export function judgeFacts(facts: HostFacts, context: FactContext): readonly Judgement[] {
  return [
    judgeShell(facts, context),
    judgeChecksum(facts, context),
    judgeDisk(facts, context),
    judgeClock(valueOf(facts, 'date'), context),
    judgeSudo(facts, context),
    judgeLimits(facts, context),
  ]
}

function judgeShell(facts: HostFacts, { host: { id } }: FactContext): Judgement {
  const system = `/bin/sh answers; login shell ${valueOf(facts, 'login_shell') ?? 'unknown'}; ${valueOf(facts, 'uname') ?? 'a system without uname'}`
  if (valueOf(facts, 'end') === undefined) return warning('shell', `${system}; but it ended in the midst of its answers`, `See what ends it: remex run ${quoteWord(id)} -c 'ulimit -a'`)
  if (facts.noise !== '') return warning('shell', `${system}; start-up files of the login print "${facts.noise.slice(0, 80)}" into the output of every command`, `In the start-up files of the login (~/.bashrc, ~/.cshrc), print only where there is a terminal: [ -t 1 ]`)
  if (valueOf(facts, 'proc') === undefined) return warning('shell', `${system}; no /proc, so a deadline ends only the process group of a command`, 'Mount /proc where the system has one.')
  return ok('shell', system)
}

function judgeChecksum({ values }: HostFacts, { host: { id } }: FactContext): Judgement {
  const tools = values.get('checksum') ?? []
  if (tools.length > 0) return ok('checksum_tool', tools.join(', '))
  return warning('checksum_tool', 'there is no tool for SHA-256: every file is read back to be verified', `On ${id}, install coreutils or openssl.`)
}

function judgeDisk(facts: HostFacts, { host: { id, login } }: FactContext): Judgement {
  const home = valueOf(facts, 'home') ?? 'the home'
  const known = [{ path: home, space: spaceOf(facts, 'df_home', 'inodes_home') }, { path: '/tmp', space: spaceOf(facts, 'df_tmp', 'inodes_tmp') }].flatMap(({ path, space }) => (space ? [{ path, space }] : []))
  if (known.length === 0) return skipped('disk', `df says nothing of ${home} and /tmp`)
  const message = known.map(({ path, space }) => `${path} ${showSpace(space)}`).join('; ')
  const states = known.map(({ space }) => judgeSpace(space))
  const hint = `Make room: remex run ${quoteWord(id)} -- df -h`
  if (states.includes('failed')) return failed('disk', message, hint)
  if (valueOf(facts, 'home_writable') === undefined) return warning('disk', `${message}; ${login} cannot write to ${home}, where durable runs are kept`, `remex run ${quoteWord(id)} -c 'ls -ld "$HOME"; df -h "$HOME"'`)
  return states.includes('warning') ? warning('disk', message, hint) : ok('disk', message)
}

/** Reads the rows of `df -Pk` and `df -Pi`. Source: POSIX.1-2017, df, STDOUT. */
function spaceOf(facts: HostFacts, blocks: FactName, inodes: FactName): Space | undefined {
  const [, total, free] = /\s(\d{1,15})\s+\d+\s+(-?\d{1,15})\s+\d+%\s/.exec(valueOf(facts, blocks) ?? '') ?? []
  if (total === undefined || free === undefined) return undefined
  // The last figure before a percentage: some systems have the columns of blocks ahead of those of inodes.
  const [, freeInodes] = /.*\s(\d{1,15})\s+\d+%\s/.exec(valueOf(facts, inodes) ?? '') ?? []
  return { totalBytes: Number(total) * 1024, freeBytes: Math.max(0, Number(free)) * 1024, freeInodes: freeInodes === undefined ? undefined : Number(freeInodes) }
}

const NOTICEABLE_MS = 5000
const TOO_MUCH_MS = 5 * 60_000

/**
 * How far the host's clock is from ours. It told whole seconds at a moment between asking and answer: what that leaves open is taken
 * in the host's favour.
 */
export function judgeClock(date: string | undefined, { fromMs, toMs }: Asked): Judgement {
  if (date === undefined || !/^\d{1,12}$/.test(date)) return skipped('clock', 'date +%s does not tell the seconds')
  const leastMs = Number(date) * 1000 - toMs
  const mostMs = Number(date) * 1000 + 1000 - fromMs
  const isAhead = leastMs > 0
  const offMs = isAhead ? leastMs : Math.max(0, -mostMs)
  if (offMs <= NOTICEABLE_MS) return ok('clock', `no more than ${showSeconds(Math.max(Math.abs(leastMs), Math.abs(mostMs)))} from that of this machine`)
  const message = `at least ${showSeconds(offMs)} ${isAhead ? 'ahead of' : 'behind'} the clock of this machine`
  const hint = 'Set the clock that is wrong: timedatectl set-ntp true'
  return offMs > TOO_MUCH_MS ? failed('clock', message, hint) : warning('clock', message, hint)
}

function showSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

function judgeSudo(facts: HostFacts, { host: { id, login, sudo } }: FactContext): Judgement {
  const status = valueOf(facts, 'sudo')
  const wanted = sudo !== false
  if (valueOf(facts, 'uid') === '0') return ok('sudo', `${login} is root`)
  if (status === '0') return ok('sudo', `${login} may without a password`)
  const why = status === 'none' ? 'sudo is not installed' : `sudo -n does not let ${login} in without a password`
  // What nobody asks for is no fault.
  if (!wanted) return ok('sudo', `${why}; only --sudo would need it`)
  const hint = status === 'none' ? `Install sudo on ${id}, or set sudo: false.` : `On ${id}: visudo -f /etc/sudoers.d/remex, and there: ${login} ALL=(${sudo === true ? 'root' : sudo}) NOPASSWD: ALL`
  return failed('sudo', `${why}, and the configuration has sudo: ${String(sudo)}`, hint)
}

function judgeLimits(facts: HostFacts, { host: { id }, serverVersion, loginsAtOnce }: FactContext): Judgement {
  if (!/OpenSSH/i.test(serverVersion)) return skipped('sshd_limits', `${serverVersion.slice(0, 100)} is no OpenSSH, and tells no limits`)
  const sessions = valueOf(facts, 'maxsessions')
  if (sessions === undefined) return skipped('sshd_limits', unreadable(facts))
  // Another sshd on the same machine may have another configuration.
  const served = valueOf(facts, 'server')?.split(' ')[3]
  const ports = facts.values.get('port') ?? []
  if (served !== undefined && ports.length > 0 && !ports.includes(served)) return skipped('sshd_limits', `sshd -T speaks of port ${ports.join(', ')}, and this sshd serves port ${served}`)
  const startups = valueOf(facts, 'maxstartups')
  const penalties = valueOf(facts, 'persourcepenalties')
  const alive = valueOf(facts, 'clientaliveinterval')
  const message = [
    `MaxSessions ${sessions}`,
    ...(startups === undefined ? [] : [`MaxStartups ${startups}`]),
    ...(penalties === undefined ? [] : [`PerSourcePenalties ${penalties === 'no' ? 'no' : 'yes'}`]),
    ...(alive === undefined ? [] : [`ClientAliveInterval ${alive}`]),
  ].join(', ')
  const raise = (line: string): string => `In sshd_config on ${id}: ${line}, then: systemctl reload ssh`
  if (Number(sessions) < 2) return warning('sshd_limits', `${message}: every command takes a connection of its own`, raise('MaxSessions 10'))
  if (Number.parseInt(startups ?? '', 10) < loginsAtOnce) return warning('sshd_limits', `${message}, and ${loginsAtOnce} logins may begin at once`, raise('MaxStartups 10:30:100'))
  return ok('sshd_limits', message)
}

function unreadable(facts: HostFacts): string {
  const isRoot = valueOf(facts, 'uid') === '0' || valueOf(facts, 'sudo') === '0'
  return isRoot ? 'sshd -T tells nothing' : 'sshd -T is for root, and sudo -n is not allowed'
}
