// Records operations, so many of them in flight, until so many milliseconds after a line on its standard input; then says how many were acknowledged.
import { once } from 'node:events'
import { openAudit } from '../../src/audit/log.ts'
import { systemClock } from '../../src/core/clock.ts'
import { begun, ENDED } from './operation.ts'

const [directory = '', inFlight = '', durationMs = ''] = process.argv.slice(2)
const log = await openAudit({ directory, clock: systemClock })
process.stdout.write('ready\n')
await once(process.stdin, 'data')
const endMs = performance.now() + Number(durationMs)
const done = await Promise.all(Array.from({ length: Number(inFlight) }, operate))
await log.close()
process.stdout.write(`${done.reduce((sum, own) => sum + own, 0)}\n`)
process.stdin.destroy()

async function operate(): Promise<number> {
  for (let acknowledged = 0; ; acknowledged++) {
    if (performance.now() >= endMs) return acknowledged
    await log.finish(await log.begin(begun(acknowledged)), ENDED)
  }
}
