// Records operations without end, so many of them in flight, and takes an anchor now and then. Says what was acknowledged, in
// the moment in which it was: `B <seq> <op_id>`, `F <op_id>`, `A <anchor>`. Ends with its standard input.
import { openAudit } from '../../src/audit/log.ts'
import type { KeepingLimits } from '../../src/audit/append/rotation.ts'
import { systemClock } from '../../src/core/clock.ts'
import { begun, ENDED } from './operation.ts'

const [directory = '', inFlight = '', limits = '', anchorEvery = ''] = process.argv.slice(2)
process.stdin.on('end', () => process.exit()).resume()
const log = await openAudit({ directory, clock: systemClock, limits: JSON.parse(limits) as KeepingLimits })
await Promise.all(Array.from({ length: Number(inFlight) }, operate))

async function operate(): Promise<never> {
  for (let number = 1; ; number++) {
    const entry = await log.begin(begun(number))
    say(`B ${entry.seq} ${entry.opId}`)
    await log.finish(entry, ENDED)
    say(`F ${entry.opId}`)
    if (number % Number(anchorEvery) === 0) say(`A ${JSON.stringify(await log.anchor())}`)
  }
}

/** Into a pipe, which takes it before this returns. */
function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
