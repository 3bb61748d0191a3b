import { Command, CommanderError } from 'commander'
import { CATALOGUE } from './catalogue.ts'
import type { Start } from './door.ts'
import { prepared } from './prepared.ts'

/** What the program does with what was asked for. */
export interface ProgramHost {
  /** Runs the action of `command`. */
  readonly start: Start
  /** Prints help or the version on stdout. */
  readonly print: (text: string) => void
}

/**
 * The command line as commander knows it. Parsing throws `RemexError` (`USAGE`), and `CommanderError` with exit code 0
 * once help or the version were printed.
 */
export function makeProgram(host: ProgramHost): Command {
  const program = prepared(new Command('remex'))
    .configureOutput({ writeOut: host.print, writeErr: () => undefined, outputError: () => undefined })
    .description('Runs commands and scripts on a fleet of machines over SSH, and moves files to and from them.')
    .usage('<command> [options]')
    .enablePositionalOptions()
    .helpCommand('help [command]', 'print the help of a command')
    .addHelpText('after', PROGRAM_EXAMPLES)
  for (const { name, summary, load } of CATALOGUE) {
    const command = program.command(name).summary(summary)
    // Only the one that is asked for gets its options: making them for all takes longer than all else here.
    program.hook('preSubcommand', async (_, asked) => {
      if (asked !== command) return
      const define = await load()
      define(prepared(command), host.start)
    })
  }
  return program
}

/** Whether `error` only says that help or the version was printed. */
export function isPrinted(error: unknown): boolean {
  return error instanceof CommanderError && error.exitCode === 0
}

const PROGRAM_EXAMPLES = `
Examples:
  remex demo                          see it work: nothing to set up
  remex init                          write configs/config.yml, then enter your hosts
  remex keys setup vm01               from nothing to access by key
  remex run vm01 -- df -h /srv        words: the host's shell interprets nothing
  remex run @lab -c 'uptime | cut -c1-20'
  remex run vm01 --detach -- make     outlives this process; then: remex runs attach <run-id>
  remex put vm01,vm03 app.conf /etc/app.conf --mode 0640

Targets: vm01 · vm01,vm03 · vm[01-04,07] · @group · all · !vm03 excludes · @db&@prod intersects

Exit status: the command's own for one host (128 + n after a signal); 0 or 1 for several;
124 the deadline passed, 125 Remex could not do it, 130 interrupted.
`
