import { benchAudit } from './audit.ts'
import { bench } from './bench.ts'
import { benchDurable } from './durable.ts'
import { benchEngines } from './engines.ts'
import { benchFleet } from './fleet.ts'
import { killProof } from './kill.ts'
import { connectRow } from './rows/connect.ts'
import { memoryRow, processRow } from './rows/process.ts'
import { rateRow, warmRow } from './rows/warm.ts'
import { benchTransfer } from './transfer.ts'

try {
  const args = process.argv.slice(2)
  const rows = [connectRow, warmRow, rateRow, processRow, memoryRow]
  if (args[0] === 'audit') process.exitCode = await benchAudit(args.slice(1))
  else if (args[0] === 'durable') process.exitCode = Math.max(await benchDurable(args.slice(1)), await killProof())
  else if (args[0] === 'engines') process.exitCode = await benchEngines(args.slice(1))
  else if (args[0] === 'fleet') process.exitCode = await benchFleet(args.slice(1))
  else if (args[0] === 'transfer') process.exitCode = await benchTransfer(args.slice(1))
  else process.exitCode = await bench(rows, args)
} catch (error) {
  process.stderr.write(`remex: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 125
}
