import type { Command, CommanderError } from 'commander'
import { remexError, type RemexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'

/** The `USAGE` error of what commander found wrong with the command line; `command` is the one it was about. */
export function usageError(error: CommanderError, command: Command): RemexError {
  const [text = '', suggestion = ''] = error.message.replace(/^error: /, '').split('\n(')
  const see = `See: ${nameOf(command)} --help`
  const meant = /^Did you mean (.*)\?\)$/.exec(suggestion)?.[1]
  const suggested = meant === undefined ? see : `Did you mean ${printable(meant)}? ${see}`
  switch (error.code) {
    case 'commander.help':
      return remexError('USAGE', `a command is missing after "${nameOf(command)}": ${commandsOf(command)}`, { hint: see })
    case 'commander.unknownCommand':
      return remexError('USAGE', printable(text), { hint: meant === undefined ? `There are: ${commandsOf(command)}. ${see}` : suggested })
    case 'commander.excessArguments':
      return remexError('USAGE', printable(text), { hint: command.name() === 'run' ? `The words of the command stand behind --: remex run vm01 -- uptime. ${see}` : see })
    default:
      return remexError('USAGE', printable(text), { hint: suggested })
  }
}

function commandsOf(command: Command): string {
  return command.commands.map((one) => one.name()).filter((name) => name !== 'help').join(', ')
}

/** `remex hosts list`. */
function nameOf(command: Command): string {
  return command.parent ? `${nameOf(command.parent)} ${command.name()}` : command.name()
}
