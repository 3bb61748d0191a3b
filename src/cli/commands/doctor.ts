import type { Command } from 'commander'
import { asRemexError, type RemexError } from '../../core/errors.ts'
import type { Finding, FindingStatus } from '../../enrol/doctor/finding.ts'
import type { Remex } from '../../remex.ts'
import { painter, type Style } from '../colour.ts'
import { notice, printJson, withRemex, type Door, type Start } from '../door.ts'
import { TARGETS } from '../run-options.ts'
import { wholeNumber } from '../values.ts'

interface DoctorFlags {
  readonly parallel?: number
}

/** `remex doctor`. */
export function defineDoctor(command: Command, start: Start): void {
  command
    .description('Says what is wrong, on this machine and on the hosts, and what to type about it. Changes nothing.')
    .argument('[targets]', `${TARGETS} (default: all)`)
    .option('--parallel <n>', 'hosts at a time (default: max_parallel_commands, 32)', wholeNumber('--parallel', 1))
    .addHelpText('after', EXAMPLES)
    .action((targets: string | undefined, flags: DoctorFlags) => start(command, (door) => doctor(door, targets, flags)))
}

async function doctor(door: Door, targets: string | undefined, { parallel }: DoctorFlags): Promise<number> {
  const report = new Report(door)
  const examine = async (remex: Remex): Promise<void> => {
    const options = { signal: door.stop.signal, ...(parallel !== undefined && { parallel }) }
    for await (const finding of remex.doctor(targets, options)) await report.add(finding)
  }
  try {
    await withRemex(door, examine)
  } catch (error) {
    await tellUnconfigured(report, asRemexError(error))
  }
  return report.end()
}

/** Without a configuration there is this machine to speak of, and the reason. Throws what is no matter of the configuration. */
async function tellUnconfigured(report: Report, error: RemexError): Promise<void> {
  const isConfig = error.code === 'CONFIG_NOT_FOUND' || error.code === 'CONFIG_INVALID'
  if (!isConfig || !report.isEmpty) throw error
  const { unconfigured } = await import('../../enrol/doctor/local-checks.ts')
  for (const finding of unconfigured(error)) await report.add(finding)
}

const STYLES: Readonly<Record<FindingStatus, Style>> = { ok: 'green', warning: 'yellow', failed: 'red', skipped: 'dim' }
const STATUS_WIDTH = 'warning'.length
/** The longest name of a check. */
const CHECK_WIDTH = 'authentication'.length
const INDENT = ' '.repeat(2 + STATUS_WIDTH + 2 + CHECK_WIDTH + 2)

/** The findings as they come, and how many there are of each kind. */
class Report {
  readonly #door: Door
  readonly #counts: Record<FindingStatus, number> = { ok: 0, warning: 0, failed: 0, skipped: 0 }
  readonly #hosts = new Set<string>()
  #about: string | undefined

  constructor(door: Door) {
    this.#door = door
  }

  get isEmpty(): boolean {
    return this.#about === undefined
  }

  async add(finding: Finding): Promise<void> {
    const { vmId, status } = finding
    const about = vmId ?? 'this machine'
    const isNew = about !== this.#about
    this.#counts[status]++
    if (vmId !== undefined) this.#hosts.add(vmId)
    this.#about = about
    if (this.#door.globals.json) return printJson(this.#door, rowOf(finding))
    const paint = painter(this.#door, this.#door.stdout)
    for (const line of [...(isNew ? [paint(about, 'bold')] : []), ...this.#linesOf(finding)]) await this.#door.stdout.line(line)
  }

  /** Sums up, and gives the exit status. */
  end(): number {
    const { ok, warning, failed, skipped } = this.#counts
    const hosts = this.#hosts.size === 0 ? '' : ` and ${this.#hosts.size} ${this.#hosts.size === 1 ? 'host' : 'hosts'}`
    if (!this.#door.globals.json) notice(this.#door, `this machine${hosts}: ${ok} ok, ${warning} ${warning === 1 ? 'warning' : 'warnings'}, ${failed} failed, ${skipped} skipped`)
    return failed === 0 ? 0 : 1
  }

  #linesOf({ check, status, message, hint }: Finding): readonly string[] {
    const paint = painter(this.#door, this.#door.stdout)
    const [first = '', ...more] = message.split('\n')
    const name = check.replace('_', ' ').padEnd(CHECK_WIDTH)
    const advice = hint === null ? [] : hint.split('\n').map((line) => `${INDENT}  ${line}`)
    return [`  ${paint(status.padEnd(STATUS_WIDTH), STYLES[status])}  ${name}  ${first}`, ...more.map((line) => `${INDENT}${line}`), ...advice]
  }
}

function rowOf({ vmId, check, status, message, hint }: Finding): object {
  return { ...(vmId !== undefined && { vm_id: vmId }), check, status, message, hint }
}

const EXAMPLES = `
Examples:
  remex doctor
  remex doctor vm01
  remex doctor @lab --json
`
