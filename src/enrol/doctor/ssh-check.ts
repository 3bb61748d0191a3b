import type { HostConfig, Settings } from '../../config/types.ts'
import { asRemexError } from '../../core/errors.ts'
import { foldIds } from '../../core/fold.ts'
import { POST_QUANTUM_KEX } from '../../transport/algorithms.ts'
import { chooseEngine, type EngineNeeds } from '../../transport/engine-choice.ts'
import type { SshProgram } from '../../transport/openssh/program.ts'
import { failed, ok, skipped, type Judgement } from './finding.ts'

/** Asks this machine's `ssh` what it can do. Rejects where there is none that the engine `openssh` can use. */
export type AskSsh = () => Promise<SshProgram>

/** What decides whether a host needs this machine's `ssh`. */
export interface SshNeeds extends EngineNeeds {
  readonly host: HostConfig
  readonly settings: Pick<Settings, 'requirePostQuantum'>
}

/** Whether the `ssh` of this machine is fit for the hosts that need it. Undefined: it cannot be asked. */
export async function sshCheck(ask: AskSsh | undefined, hosts: readonly SshNeeds[]): Promise<Judgement> {
  if (!ask) return skipped('ssh', 'it is not asked')
  const needing = hosts.flatMap(needOf)
  const ids = foldIds(needing.map(({ id }) => id))
  try {
    const program = await ask()
    const version = `OpenSSH ${program.version.join('.')}`
    const isQuantum = hosts.some(({ settings }) => settings.requirePostQuantum)
    if (isQuantum && needing.length > 0 && !POST_QUANTUM_KEX.some(program.knows)) {
      return failed('ssh', `${version} has no key exchange that withstands quantum computers, and require_post_quantum is set`, 'Update it to 9.0 or later, or set require_post_quantum: false.')
    }
    return ok('ssh', `${version}, ${needing.length === 0 ? 'which no host needs' : `which ${ids} ${needing.length === 1 ? 'needs' : 'need'} (${reasons(needing)})`}`)
  } catch (error) {
    const { message, hint } = asRemexError(error)
    if (needing.length === 0) return skipped('ssh', `${message}; no host needs it`)
    return failed('ssh', `${message}; for ${ids} (${reasons(needing)})`, hint)
  }
}

interface Need {
  readonly id: string
  readonly need: string
}

/** As connecting decides it, which looks at the same. Empty: the host needs nothing of it. */
function needOf({ host, settings, ...needs }: SshNeeds): Need[] {
  const { need } = chooseEngine(host, settings, needs)
  return need === undefined ? [] : [{ id: host.id, need }]
}

const reasons = (needing: readonly Need[]): string => [...new Set(needing.map(({ need }) => need))].join(', ')
