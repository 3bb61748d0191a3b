import type { Command } from 'commander'
import { printable } from '../../core/printable.ts'
import { printJson, withRemex, type Door, type Start } from '../door.ts'
import { subcommand } from '../subcommand.ts'

/** `remex config`. */
export function defineConfig(command: Command, start: Start): void {
  command.description('Looks at the configuration.').addHelpText('after', EXAMPLES)
  const check = subcommand(command, 'check', 'Says whether the configuration is right; connects to nothing.').addHelpText('after', exampleOf('check'))
  check.action(() => start(check, checkConfig))
  const show = subcommand(command, 'show', 'Prints the configuration with every default, as it takes effect.').addHelpText('after', exampleOf('show'))
  show.action(() => start(show, showEffective))
  const schema = subcommand(command, 'schema', 'Prints the JSON Schema of the file, for editors.').addHelpText('after', exampleOf('schema >remex.schema.json'))
  schema.action(() => start(schema, showSchema))
}

async function checkConfig(door: Door): Promise<number> {
  return withRemex(door, async ({ config }) => {
    const hosts = [...config.hosts.values()]
    const groups = new Set(hosts.flatMap(({ role, groups: names }) => [role, ...names]).filter((name) => name !== ''))
    const disabled = hosts.filter(({ enabled }) => !enabled).length
    const rules = config.policy?.rules.length ?? null
    const path = config.path ?? null
    if (door.globals.json) await printJson(door, { path, ok: true, hosts: hosts.length, disabled, groups: groups.size, policy_rules: rules })
    else await door.stdout.line(printable(`${path ?? 'configuration'}: ok, ${counted(hosts.length, 'host')} (${disabled} disabled), ${counted(groups.size, 'group')}, ${rules === null ? 'no policy' : counted(rules, 'policy rule')}`))
    return 0
  })
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

async function showEffective(door: Door): Promise<number> {
  return withRemex(door, async ({ config }) => {
    const { showConfig } = await import('../../config/show.ts')
    const yaml = showConfig(config)
    if (!door.globals.json) await door.stdout.write(yaml)
    else {
      const { parse } = await import('yaml')
      await printJson(door, parse(yaml) as object)
    }
    return 0
  })
}

async function showSchema(door: Door): Promise<number> {
  const { configJsonSchema } = await import('../../config/json-schema.ts')
  await door.stdout.line(JSON.stringify(configJsonSchema(), null, door.globals.json ? 0 : 2))
  return 0
}

const exampleOf = (words: string): string => `\nExample:\n  remex config ${words}\n`

const EXAMPLES = `
Examples:
  remex config check
  remex config show
  remex config schema >remex.schema.json
`
