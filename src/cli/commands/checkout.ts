import type { Command } from 'commander'
import { remexError } from '../../core/errors.ts'
import type { Start } from '../door.ts'

/** `remex test` and `remex bench`: in a checkout `./remex` does them before it comes to the command line. */
export function defineCheckoutOnly(command: Command, start: Start): void {
  const name = command.name()
  command
    .description(`Works in a checkout of the repository only: ./remex ${name}`)
    .argument('[words...]')
    .allowUnknownOption()
    .addHelpText('after', `\nExample:\n  ./remex ${name}\n`)
    .action(() => start(command, () => Promise.reject(needsCheckout(name))))
}

function needsCheckout(name: string): Error {
  return remexError('USAGE', `${name} needs a checkout of the repository; this is an installed remex`, {
    hint: `In a checkout: ./remex ${name}. To see remex work without one: remex demo`,
  })
}
