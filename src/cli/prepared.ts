import type { Command } from 'commander'
import { addGlobalOptions } from './globals.ts'
import { usageError } from './usage-error.ts'

/** Gives a command what every command has: the global options, and errors of ours in place of commander's exits. */
export function prepared(command: Command): Command {
  return addGlobalOptions(command).exitOverride((error) => {
    if (error.exitCode === 0) throw error
    throw usageError(error, command)
  })
}
