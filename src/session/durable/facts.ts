import { constants } from 'node:os'
import type { Ended, KillVerdict } from '../../core/outcome.ts'
import { parseVerdict } from '../kill.ts'

/** Where a run stands, as its host tells it. */
export type HostState = 'none' | 'starting' | 'unbegun' | 'running' | 'ended' | 'rebooted' | 'orphaned'

/** What the host knows of a run. */
export interface RunFactsOnHost {
  readonly state: HostState
  /** What the state is known by, in words. */
  readonly evidence: string
  readonly command: string
  /** Seconds since 1970, of the host's clock. */
  readonly begunAt: number | undefined
  readonly endedAt: number | undefined
  /** Process id of the supervisor. */
  readonly pid: number | undefined
  readonly stdoutBytes: number
  readonly stderrBytes: number
  readonly cut: boolean
  readonly ended: { readonly kind: Extract<Ended, 'exited' | 'signaled' | 'timed_out' | 'cancelled'>; readonly exitCode: number | null; readonly signal: string | null; readonly killed: KillVerdict | null } | undefined
}

const STATES: ReadonlySet<string> = new Set<HostState>(['none', 'starting', 'unbegun', 'running', 'ended', 'rebooted', 'orphaned'])

/** Reads the lines `name value` of a host's answer; what is not understood is left out, for it is untrusted. */
export function readFacts(lines: readonly string[]): RunFactsOnHost {
  const values = new Map(lines.map((line) => [line.split(' ', 1)[0] ?? '', line.slice(line.indexOf(' ') + 1)]))
  const said = values.get('state') ?? ''
  const state = isState(said) ? said : 'none'
  const pid = count(values.get('pid'))
  return {
    state,
    evidence: evidenceOf(state, pid),
    command: values.get('command') ?? '',
    begunAt: count(values.get('begun')),
    endedAt: count(values.get('time')),
    pid,
    stdoutBytes: count(values.get('stdout')) ?? 0,
    stderrBytes: count(values.get('stderr')) ?? 0,
    cut: values.has('cut'),
    ended: state === 'ended' ? howItEnded(values) : undefined,
  }
}

function evidenceOf(state: HostState, pid: number | undefined): string {
  if (state === 'running') return `its supervisor (pid ${pid ?? '?'}) is alive`
  if (state === 'starting') return 'it is being started just now'
  if (state === 'unbegun') return 'its directory was claimed, and it was never begun: it did not run'
  if (state === 'rebooted') return 'the host was rebooted while it ran; how it ended is not known'
  if (state === 'orphaned') return `its supervisor (pid ${pid ?? '?'}) is gone without a word; how the command ended is not known`
  return state === 'ended' ? 'its supervisor wrote down how it ended' : 'the host knows no such run'
}

const isState = (state: string): state is HostState => STATES.has(state)

function count(text: string | undefined): number | undefined {
  const match = /^\s*(\d{1,15})$/.exec(text ?? '')
  return match ? Number(match[1]) : undefined
}

function howItEnded(values: ReadonlyMap<string, string>): RunFactsOnHost['ended'] {
  const stop = values.get('stop')
  if (stop === 'timed_out' || stop === 'cancelled') {
    const verdict = parseVerdict(values.get('verdict') ?? '')
    return { kind: stop, exitCode: null, signal: null, killed: verdict === 'noproc' ? { ended: 0, survivors: [], scope: 'unknown' } : verdict }
  }
  const { exitCode, signal } = exitOf(values.get('how') ?? '', count(values.get('status')) ?? 0)
  return { kind: signal === null ? 'exited' : 'signaled', exitCode, signal, killed: null }
}

/** What `jobs -l` said (`Done`, `Done(3)`, `Exit 3`, `Killed`); only where it said nothing the status, in which 137 is ambiguous. */
function exitOf(how: string, status: number): { exitCode: number | null; signal: string | null } {
  const done = /^\s*(?:Done(?:\((\d+)\))?|Exit (\d+))(?:\s|$)/.exec(how)
  if (done) return { exitCode: Number(done[1] ?? done[2] ?? 0), signal: null }
  const named = Object.entries(SIGNAL_WORDS).find(([words]) => how.trim().startsWith(words))
  if (named) return { exitCode: null, signal: named[1] }
  const number = status - 128
  const signal = number > 0 ? Object.entries(constants.signals).find(([, value]) => value === number)?.[0] : undefined
  return signal === undefined ? { exitCode: status, signal: null } : { exitCode: null, signal: signal.slice(3) }
}

/** strsignal(3) in the C locale, by which shells name the end of a job. */
const SIGNAL_WORDS: Readonly<Record<string, string>> = {
  Hangup: 'HUP',
  Interrupt: 'INT',
  Quit: 'QUIT',
  'Illegal instruction': 'ILL',
  'Trace/breakpoint trap': 'TRAP',
  Aborted: 'ABRT',
  'Bus error': 'BUS',
  'Floating point exception': 'FPE',
  Killed: 'KILL',
  'User defined signal 1': 'USR1',
  'Segmentation fault': 'SEGV',
  'User defined signal 2': 'USR2',
  'Broken pipe': 'PIPE',
  'Alarm clock': 'ALRM',
  Terminated: 'TERM',
  'CPU time limit exceeded': 'XCPU',
  'File size limit exceeded': 'XFSZ',
  'Bad system call': 'SYS',
}
