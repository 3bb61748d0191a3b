import { bench } from './bench.ts'
import { connectRow } from './rows/connect.ts'
import { memoryRow, processRow } from './rows/process.ts'
import { rateRow, warmRow } from './rows/warm.ts'

try {
  process.exitCode = await bench([connectRow, warmRow, rateRow, processRow, memoryRow], process.argv.slice(2))
} catch (error) {
  process.stderr.write(`remex: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 125
}
