import { CommanderError, Help, Option, type Command } from 'commander'
import { remexError } from '../core/errors.ts'
import { packageVersion } from './package-root.ts'

/** The options that every command has. */
export interface Globals {
  /** Path of the configuration file; undefined: looked for. */
  readonly config: string | undefined
  /** Who asks, for the audit log; undefined: the operating system's user. */
  readonly user: string | undefined
  readonly json: boolean
  readonly quiet: boolean
  readonly verbose: boolean
  /** Whether colours are wanted where there is a terminal. */
  readonly color: boolean
}

const GROUP = 'Global options:'

/** Gives `command` the global options, so that they can stand before or after its name. */
export function addGlobalOptions(command: Command): Command {
  const options = [
    new Option('--config <path>', 'configuration file (default: $REMEX_CONFIG, configs/config.yml, ~/.config/remex/config.yml)'),
    new Option('--user <name>', 'who asks, for the audit log (default: the user of the operating system)'),
    new Option('--json', 'JSON Lines on stdout, one object per host'),
    new Option('--quiet', 'no notices and no summary'),
    new Option('--verbose', 'more about errors'),
    new Option('--no-color', 'no colours (also: NO_COLOR)'),
    new Option('--version', 'print the version'),
  ]
  for (const option of options) command.addOption(option.helpGroup(GROUP))
  command.helpOption('--help', 'print this help').configureHelp({ groupItems: globalsLast, subcommandTerm: (subcommand) => subcommand.name() })
  return command.on('option:version', () => {
    const version = packageVersion()
    command.configureOutput().writeOut?.(`${version}\n`)
    throw new CommanderError(0, 'commander.version', version)
  })
}

/** A command's own options are what its help is read for. */
const globalsLast: Help['groupItems'] = (unsorted, visible, groupOf) => {
  const groups = new Help().groupItems(unsorted, visible, groupOf)
  const globals = groups.get(GROUP)
  if (globals && groups.delete(GROUP)) groups.set(GROUP, globals)
  return groups
}

/** The global options as they were given, before or after the name of the command; the later one counts. */
export function readGlobals(command: Command, env: NodeJS.ProcessEnv): Globals {
  const given: Record<string, unknown> = {}
  for (let at: Command | null = command; at; at = at.parent) {
    for (const [name, value] of Object.entries(at.opts())) if (at.getOptionValueSource(name) === 'cli') given[name] ??= value
  }
  return {
    config: text(given, 'config'),
    user: text(given, 'user'),
    json: given['json'] === true,
    quiet: given['quiet'] === true,
    verbose: given['verbose'] === true,
    color: given['color'] !== false && !env['NO_COLOR'],
  }
}

function text(given: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = given[name]
  if (value === '') throw remexError('USAGE', `--${name} is empty`)
  return typeof value === 'string' ? value : undefined
}
