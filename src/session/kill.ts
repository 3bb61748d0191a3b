import type { Clock } from '../core/clock.ts'
import type { KillVerdict } from '../core/outcome.ts'
import type { Channel } from '../transport/contract.ts'
import { drain } from './drain.ts'
import { killScript } from './kill-script.ts'
import { prelude } from './prelude.ts'

/** From TERM to KILL. */
export const GRACE_MS = 2000
/** How long the host may take over the verdict, beyond the grace, before it counts as unknown. */
const ANSWER_MS = 8000

/** What ending a run needs. */
export interface Killer {
  readonly runId: string
  /** The user that the command ran as, where it went through sudo. */
  readonly sudoUser: string | undefined
  readonly clock: Clock
  /** Starts a command on another channel: of the same connection, or of a new one where that is gone. */
  readonly open: (exec: string, signal: AbortSignal) => Promise<Channel>
  /** Asks the server to signal the process group: all that is left on a host without /proc. */
  readonly signalGroup: (name: string) => void
}

const UNKNOWN: KillVerdict = { ended: 0, survivors: [], scope: 'unknown' }

/** How often the host is asked: a connection may turn out to be dead only when it is used. */
const ASK_TRIES = 2

/** Ends the whole process tree of a run and says what came of it. Never rejects; bounded to about 10 s. */
export async function endTree(killer: Killer): Promise<KillVerdict> {
  const limit = new AbortController()
  const answer = ask(killer, limit.signal).catch(() => UNKNOWN)
  const late = killer.clock.sleep(GRACE_MS + ANSWER_MS, limit.signal).then(() => UNKNOWN, () => UNKNOWN)
  const verdict = await Promise.race([answer, late])
  limit.abort()
  return verdict
}

async function ask(killer: Killer, signal: AbortSignal): Promise<KillVerdict> {
  // The killer has a run id of its own: under the run's it would find itself.
  const text = killScript(killer.runId, GRACE_MS)
  const { exec } = prelude({ runId: 'killer', text, env: {}, cwd: undefined, sudoUser: killer.sudoUser, pty: undefined })
  const verdict = await verdictOf(killer, exec, signal)
  if (verdict !== 'noproc') return verdict
  killer.signalGroup('TERM')
  await killer.clock.sleep(GRACE_MS, signal)
  killer.signalGroup('KILL')
  return { ended: 0, survivors: [], scope: 'group' }
}

/** Asking again is harmless: what is ended already is not found any more. */
async function verdictOf(killer: Killer, exec: string, signal: AbortSignal): Promise<KillVerdict | 'noproc'> {
  for (let tries = 1; ; tries++) {
    const said = await killer.open(exec, signal).then((channel) => output(channel, signal)).catch(() => '')
    const verdict = parseVerdict(said)
    if (verdict !== UNKNOWN || tries === ASK_TRIES || signal.aborted) return verdict
  }
}

async function output(channel: Channel, signal: AbortSignal): Promise<string> {
  let text = ''
  channel.stdin.end()
  signal.addEventListener('abort', () => channel.close(), { once: true })
  await Promise.all([
    // Only the last line counts, and a host must not fill our memory.
    drain(channel.stdout, (chunk) => void (text = (text + chunk.toString('latin1')).slice(-65_536))),
    drain(channel.stderr, () => undefined),
  ])
  channel.close()
  // A verdict that broke off reads as another one.
  return channel.isOutputWhole ? text : ''
}

/** Reads the script's last line; anything else is an unknown verdict. Exported for its tests. */
export function parseVerdict(text: string): KillVerdict | 'noproc' {
  const line = text.trimEnd().split('\n').at(-1) ?? ''
  if (line === 'remex-killed noproc') return 'noproc'
  const match = /^remex-killed tree (\d+)((?: \d+)*)$/.exec(line)
  if (!match) return UNKNOWN
  return { ended: Number(match[1]), survivors: (match[2] ?? '').split(' ').filter(Boolean).map(Number), scope: 'tree' }
}
