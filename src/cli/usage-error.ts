import type { Command, CommanderError } from 'commander'
import { remexError, type RemexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'

/** Options of CONTRACT that come with a later version; a user who has read of them deserves a clear answer. */
const LATER = new Set([
  '--durable', '--detach', '--run-id', '--batch', '--max-failures', '--gather', '--recursive', '--delete', '--preserve', '--resume',
  '--checksum', '--limit-rate',
])

/** The `USAGE` error of what commander found wrong with the command line; `command` is the one it was about. */
export function usageError(error: CommanderError, command: Command): RemexError {
  if (error.code === 'commander.help') return nothingAsked(command)
  const [text = '', suggestion = ''] = error.message.replace(/^error: /, '').split('\n(')
  const option = /^unknown option '(--[a-z-]+)/.exec(text)?.[1] ?? ''
  if (LATER.has(option)) return remexError('USAGE', `${option} is not in this version of remex`, { hint: `See: ${nameOf(command)} --help` })
  const meant = /^Did you mean (.*)\?\)$/.exec(suggestion)?.[1]
  const hint = `${meant === undefined ? '' : `Did you mean ${printable(meant)}? `}See: ${nameOf(command)} --help`
  return remexError('USAGE', printable(text), { hint })
}

function nothingAsked(command: Command): RemexError {
  const names = command.commands.map((one) => one.name()).filter((name) => name !== 'help')
  return remexError('USAGE', `${nameOf(command)} wants a command: ${names.join(', ')}`, { hint: `See: ${nameOf(command)} --help` })
}

/** `remex hosts list`. */
function nameOf(command: Command): string {
  return command.parent ? `${nameOf(command.parent)} ${command.name()}` : command.name()
}
