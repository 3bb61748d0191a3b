import { remexError } from '../../core/errors.ts'
import { foldIds } from '../../core/fold.ts'
import { printable } from '../../core/printable.ts'
import type { OfferedKey } from '../../enrol/host-trust.ts'
import type { SetupReport } from '../../enrol/key-setup.ts'
import { withRemex, type Door } from '../door.ts'
import { parallelOf, reportKeyWork } from '../key-report.ts'
import { passwordAsker } from '../password.ts'
import { canAsk } from '../prompt.ts'
import { askYes } from '../question.ts'

/** The options of `keys setup`. */
export interface SetupFlags {
  readonly passwordStdin?: boolean
  readonly fingerprint?: string
  readonly yes?: boolean
  readonly parallel?: number
}

/** `remex keys setup`. */
export async function setUpKeys(door: Door, targets: string, flags: SetupFlags): Promise<number> {
  const { fingerprint } = flags
  return withRemex(door, async (remex) => {
    const group = remex.hosts(targets)
    if (fingerprint !== undefined && group.ids.length > 1) throw remexError('USAGE', `--fingerprint is for one host; ${group.ids.length} are selected`)
    const asks = canAsk(door) && !door.globals.json
    const password = flags.passwordStdin || asks ? passwordAsker(door, { fromStdin: flags.passwordStdin === true, question: `Password for ${foldIds(group.ids)}` }) : undefined
    const trustHostKeys = flags.yes ? () => Promise.resolve(true) : asks ? (vmId: string, offered: readonly OfferedKey[]) => askTrust(door, vmId, offered) : undefined
    return reportKeyWork<SetupReport>(door, group, {
      // What is asked of a person comes host by host.
      parallel: flags.parallel === undefined && asks ? 1 : parallelOf(remex, flags.parallel),
      work: (vmId, onStep) => remex.keys.setup(vmId, { password, trustHostKeys, fingerprint, onStep, signal: door.stop.signal }),
      done: ({ fingerprint: key, added }) => (added ? `ready: the key ${key} opens it` : `nothing to do: the key ${key} opens it`),
      json: ({ fingerprint: key, trusted, made, added, by, repaired }) => ({ fingerprint: key, trusted, made, added, by, repaired }),
    })
  })
}

async function askTrust(door: Door, vmId: string, offered: readonly OfferedKey[]): Promise<boolean> {
  for (const { key, fingerprint } of offered) await door.stderr.line(printable(`${vmId} shows ${key.type} ${fingerprint}`))
  return askYes(door, `Nobody has vouched for ${vmId} yet. Trust ${offered.length === 1 ? 'this key' : 'these keys'}?`)
}
