import { runCommandLine } from './cli.ts'

const { env, stdout, stderr } = process

// A mistake of ours must not look like an exit status of the command's own.
process.on('uncaughtException', (error: Error) => {
  stderr.write(`remex: Remex made a mistake; please report it:\n${error.stack ?? error.message}\n`)
  process.exit(125)
})

// All output has left by then; what else may be open (an idle input, a closing connection) is not waited for.
void runCommandLine({ argv: process.argv.slice(2), env, stdout, stderr }).then((status) => process.exit(status))
