import { runCommandLine } from './cli.ts'

const { env, stdout, stderr } = process

void runCommandLine({ argv: process.argv.slice(2), env, stdout, stderr }).then(
  // All output has left; what else may be open (an idle input, a closing connection) is not waited for.
  (status) => process.exit(status),
  (error: unknown) => {
    stderr.write(`remex: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    process.exitCode = 125
  },
)
