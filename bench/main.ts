import { bench } from './bench.ts'

try {
  process.exitCode = await bench([], process.argv.slice(2))
} catch (error) {
  process.stderr.write(`remex: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 125
}
