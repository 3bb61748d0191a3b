import type { Command } from 'commander'
import { prepared } from './prepared.ts'

/** A second word of `parent` (`hosts list`), with everything that every command has. */
export function subcommand(parent: Command, name: string, description: string): Command {
  return prepared(parent.command(name)).description(description)
}
