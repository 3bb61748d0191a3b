import { foldIds } from '../../core/fold.ts'
import { printable } from '../../core/printable.ts'
import { painter, type Style } from '../colour.ts'
import type { Door } from '../door.ts'
import { PrefixedLines } from '../prefixed-lines.ts'
import { differences, sideOf, type Side } from './diff.ts'
import { isDamaged, isEmpty, type Output, type OutputGroup } from './output-groups.ts'
import type { Spool } from './spool.ts'

const STREAMS = ['stdout', 'stderr'] as const

/** Above and below every header. */
const RULE = '-'.repeat(15)
/** A line of a host's output that would pass for one. */
const FORGED_RULE = new RegExp(`^${RULE}$`, 'gm')

/** Both streams of the group that others are compared with. */
interface Reference {
  readonly group: OutputGroup
  readonly sides: Readonly<Record<keyof Output, Side>>
}

/** Prints groups on stdout, each under a header with its hosts. */
export class GroupPrinter {
  readonly #door: Door
  readonly #paint: (text: string, style: Style) => string
  #reference: Reference | undefined

  constructor(door: Door) {
    this.#door = door
    this.#paint = painter(door, door.stdout)
  }

  /** From now on of every other group only the differences from this one are printed. */
  async compareWith(group: OutputGroup): Promise<void> {
    this.#reference = { group, sides: await sidesOf(group) }
  }

  async print(group: OutputGroup): Promise<void> {
    await this.#header(group)
    if (isEmpty(group.output) || isDamaged(group.output)) return
    if (this.#reference && this.#reference.group !== group) await this.#differences(group, this.#reference)
    else await this.#whole(group.output)
  }

  async #header({ ids, reason, output }: OutputGroup): Promise<void> {
    const count = ids.length === 1 ? '' : ` (${ids.length})`
    const what = isDamaged(output) ? 'its output could not be kept' : isEmpty(output) ? 'no output' : undefined
    const title = [`${nameOf(ids)}${count}`, ...[reason, what].filter((part) => part !== undefined)].join(': ')
    const style = reason === undefined ? 'cyan' : 'red'
    await this.#door.stdout.write([RULE, title, RULE].map((line) => `${this.#paint(line, style)}\n`).join(''))
  }

  async #whole(output: Output): Promise<void> {
    for (const stream of STREAMS) {
      if (output[stream].sizeBytes === 0) continue
      if (stream === 'stderr') await this.#streamHeader()
      await this.#lines(output[stream])
    }
  }

  async #lines(spool: Spool): Promise<void> {
    const lines = new PrefixedLines('')
    for await (const part of spool.read()) await this.#door.stdout.write(unforged(lines.add(part)))
    await this.#door.stdout.write(unforged(lines.end()))
  }

  async #differences(group: OutputGroup, { group: { output }, sides }: Reference): Promise<void> {
    const own = await sidesOf(group)
    let differ = false
    for (const stream of STREAMS) {
      if ((await output[stream].identity()) === (await group.output[stream].identity())) continue
      differ = true
      if (stream === 'stderr') await this.#streamHeader()
      for (const line of differences(sides[stream], own[stream])) await this.#door.stdout.line(this.#changed(unforged(line)))
    }
    if (!differ) await this.#door.stdout.line(`same output as ${sides.stdout.name}`)
  }

  #changed(line: string): string {
    if (line.startsWith('+')) return this.#paint(line, 'green')
    if (line.startsWith('-')) return this.#paint(line, 'red')
    return line.startsWith('@@') ? this.#paint(line, 'cyan') : line
  }

  async #streamHeader(): Promise<void> {
    await this.#door.stdout.line(this.#paint('stderr:', 'yellow'))
  }
}

/** Whoever reads headers must be able to trust them: a rule of a host's own shows its first dash as an escape. */
function unforged(text: string): string {
  return text.replaceAll(FORGED_RULE, String.raw`\x2d${RULE.slice(1)}`)
}

function nameOf(ids: readonly string[]): string {
  return printable(foldIds(ids))
}

async function sidesOf({ ids, output }: OutputGroup): Promise<Readonly<Record<keyof Output, Side>>> {
  const name = nameOf(ids)
  return { stdout: await sideOf(name, output.stdout), stderr: await sideOf(name, output.stderr) }
}
