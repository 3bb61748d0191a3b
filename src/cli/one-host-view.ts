import { complain } from './complaint.ts'
import { notice, type Door } from './door.ts'
import type { RunView } from './run-report.ts'
import { checkLines, incompleteText, verdictText } from './verdict.ts'

/** One host: its streams are ours, byte for byte, and its exit status speaks for itself. */
export function oneHostView(door: Door): RunView {
  return {
    onOutput: (_vmId, stream, chunk) => (stream === 'stdout' ? door.stdout : door.stderr).write(chunk),
    finished: (result) => {
      const { vmId, error, attempts, engine, killed, signal, outputIncomplete } = result
      // Whoever reads us has gone: there is nobody to tell.
      if (door.stop.silent) return
      if (result.check) for (const line of checkLines(result)) notice(door, line)
      if (error) complain(door, error, { attempts, engine })
      if (signal !== null) notice(door, `${vmId}: the command was ended by signal ${signal}`)
      if (killed) notice(door, `${vmId}: ${verdictText(killed)}`)
      if (outputIncomplete && (door.stop.follows || !killed)) notice(door, `${vmId}: ${incompleteText(door.stop.follows)}`)
    },
    end: () => undefined,
  }
}
