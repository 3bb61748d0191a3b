import type { Command } from 'commander'
import type { Config } from '../../config/types.ts'
import { remexError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import type { Intention, Judgement } from '../../fleet/judgement.ts'
import type { Mismatch } from '../../policy/decide.ts'
import { printJson, withRemex, type Door, type Start } from '../door.ts'
import { subcommand } from '../subcommand.ts'
import { shown } from '../values.ts'

interface TestFlags {
  readonly host: string
  readonly operation: string
  readonly command?: string
}

/** `remex policy`. */
export function definePolicy(command: Command, start: Start): void {
  command.description('Looks at the policy.').addHelpText('after', EXAMPLES)
  const test = subcommand(command, 'test', 'Says what the policy would decide, and by which rule; connects to nothing, and nothing is logged. --user is here a user of the operating system.')
    .usage('--host <targets> [options] -- <word>...')
    .requiredOption('--host <targets>', 'the hosts to ask about')
    .option('-c, --command <text>', 'shell text, in place of words behind --')
    .option('--operation <name>', 'run, script (path and arguments as words), upload, download, host_trust, …', 'run')
    .addHelpText('after', EXAMPLES)
  test.action((flags: TestFlags) => start(test, (door) => testPolicy(door, flags)))
}

async function testPolicy(door: Door, flags: TestFlags): Promise<number> {
  const asked = await questionOf(door, flags)
  return withRemex(door, async ({ config, user }) => {
    const { judgeTargets } = await import('../../fleet/judgement.ts')
    const judgements = judgeTargets(config, flags.host, { ...asked, user, osUser: user })
    if (judgements.length === 0) throw remexError('USAGE', `--host ${shown(flags.host)} selects no host`, { hint: 'See which there are: remex hosts list' })
    const printed = door.globals.json ? undefined : await linePrinter(config)
    for (const judgement of judgements) {
      if (!printed) await printJson(door, rowOf(judgement, { user, operation: asked.operation }))
      else for (const line of printed(judgement)) await door.stdout.line(printable(line))
    }
    return judgements.every(({ effect }) => effect === 'allow') ? 0 : 1
  })
}

/** What is asked about. Throws `USAGE` where words and text do not fit to the operation. */
async function questionOf(door: Door, { operation, command }: TestFlags): Promise<Omit<Intention, 'user' | 'osUser'>> {
  const { OPERATIONS } = await import('../../config/schema.ts')
  if (!OPERATIONS.some((known) => known === operation)) throw remexError('USAGE', `--operation: ${shown(operation)} is none`, { hint: `One of ${OPERATIONS.join(', ')}` })
  const words = door.words?.length ? door.words : undefined
  const isCommand = operation === 'run' || operation === 'script'
  if (!isCommand && (words ?? command) !== undefined) throw remexError('USAGE', `${operation} has no command`, { hint: 'Leave the words and -c away.' })
  if (words && command !== undefined) throw remexError('USAGE', 'there are both -c and words behind --', { hint: 'Give one of them.' })
  if (isCommand && (words ?? command) === undefined) throw remexError('USAGE', 'there is no command to judge', { hint: 'Its words stand behind --: remex policy test --host vm01 -- uptime' })
  return { operation, words, shellText: command }
}

function rowOf({ vmId, effect, rule, reason, passedOver }: Judgement, asked: object): object {
  return { vm_id: vmId, ...asked, effect, rule: rule ?? null, reason, passed_over: passedOver }
}

const BECAUSE: Readonly<Record<Mismatch, string>> = {
  user: 'is about other users',
  operation: 'is about other operations',
  command: 'has other commands',
  shell: 'does not allow shell text',
  host: 'is about other hosts',
  speaks_for: 'does not let the user speak for the other',
}

/** What is printed of a judgement: the decision, the rules before it with the reason, and the rule as it could stand in the file. */
async function linePrinter({ policy, path }: Config): Promise<(judgement: Judgement) => string[]> {
  const { ruleText } = await import('../../config/show.ts')
  return ({ vmId, effect, rule: number, reason, passedOver }) => {
    const rule = policy?.rules[(number ?? 0) - 1]
    const passed = passedOver.map((one) => `  rule ${one.rule} ${BECAUSE[one.because]}`)
    return [`${vmId}: ${effect}: ${reason}`, ...passed, ...(rule ? [`  rule ${number ?? 0}${path === undefined ? '' : ` of ${path}`}: ${ruleText(rule)}`] : [])]
  }
}

const EXAMPLES = `
Examples:
  remex policy test --user alice --host vm01 -- systemctl restart nginx
  remex policy test --host @lab -c 'uptime | cut -c1-20'
  remex policy test --host vm01 --operation upload
`
