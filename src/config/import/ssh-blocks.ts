import { LineType, parse, type Line } from 'ssh-config'
import { remexError, type RemexError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import type { Notices, SourceFile } from './imported.ts'
import { isWild, matchesList, patternList, type PatternList } from './ssh-pattern.ts'

/** One line that says something, as the library read it. */
export type Directive = Extract<Line, { readonly type: LineType.DIRECTIVE }>

/** What must hold of a host for the lines under it to be meant. */
type Condition =
  | { readonly kind: 'name'; readonly patterns: PatternList }
  /** `Match host`: of the HostName that was found so far. */
  | { readonly kind: 'host-name'; readonly patterns: PatternList }
  | { readonly kind: 'never' }

/** Lines under the same Host or Match. */
export interface Block {
  readonly conditions: readonly Condition[]
  readonly lines: readonly Directive[]
}

/** A configuration of ssh with everything that it includes. */
export interface SshBlocks {
  /** Those that may be meant for the host `name`, in order: all but those under other names. */
  readonly blocksFor: (name: string) => readonly Block[]
  /** Each name that stands behind Host as it is. */
  readonly aliases: ReadonlySet<string>
}

/** Where included files come from. */
export interface Includes {
  readonly home: string
  /** The files that an absolute path with wildcards names, in the order of their names; those that are missing are left out. */
  readonly include: (pattern: string) => Promise<readonly SourceFile[]>
}

/** The depth at which ssh gives up as well. */
const DEEPEST = 16
/** Files that a configuration may include, each time counted. */
const MOST_FILES = 1_000
const MOST_LINES = 500_000

/** Settings that have a meaning for us. */
const WANTED = /^(?:HostName|Port|User|IdentityFile|ProxyJump|ProxyCommand|HostKeyAlias)$/i

/** The library takes a "#" within a word for a comment, and a second "=" for a space, and ssh does not: they are kept out of its sight. */
const STAND_INS = { '#': '\uE000', '=': '\uE001' } as const

interface Reading extends Includes {
  readonly notices: Notices
  readonly blocks: { readonly conditions: readonly Condition[]; readonly lines: Directive[] }[]
  readonly aliases: Set<string>
  files: number
  lines: number
}

/** What the file at one depth is read under. */
interface Under {
  readonly conditions: readonly Condition[]
  readonly depth: number
}

/**
 * The blocks of `file` in the order in which ssh reads them, its includes in place. An Include under a Host counts for that
 * host only, and a Host within it needs both, as with ssh. Nothing is executed: a Match by anything but host names is left
 * out, with a notice. Throws `CONFIG_INVALID` for what cannot be read, and for includes without end.
 */
export async function readBlocks(file: SourceFile, includes: Includes, notices: Notices): Promise<SshBlocks> {
  const reading: Reading = { ...includes, notices, blocks: [], aliases: new Set(), files: 0, lines: 0 }
  await readFileUnder(file, { conditions: [], depth: 0 }, reading)
  return { blocksFor: indexed(reading.blocks), aliases: reading.aliases }
}

/** Most blocks are under plain names: to ask each of them for each host would take the square of their number. */
function indexed(blocks: readonly Block[]): SshBlocks['blocksFor'] {
  const always: number[] = []
  const byName = new Map<string, number[]>()
  for (const [index, { conditions }] of blocks.entries()) {
    const plain = conditions.find((condition) => condition.kind === 'name' && condition.patterns.wild.length === 0)
    if (plain?.kind !== 'name') always.push(index)
    else for (const name of plain.patterns.names) listAt(byName, name).push(index)
  }
  return (name) => [...always, ...(byName.get(name) ?? [])].sort((one, other) => one - other).flatMap((index) => blocks[index] ?? [])
}

async function readFileUnder({ path, text }: SourceFile, under: Under, reading: Reading): Promise<void> {
  let block = newBlock(reading, under.conditions)
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const place = `${path}:${index + 1}`
    if (++reading.lines > MOST_LINES) throw invalid(place, `more than ${MOST_LINES} lines, with what is included`)
    const directive = readLine(line, place)
    if (!directive) continue
    const keyword = directive.param.toLowerCase()
    if (keyword === 'host') block = newBlock(reading, [...under.conditions, hostCondition(directive, under, reading)])
    else if (keyword === 'match') block = newBlock(reading, [...under.conditions, ...matchConditions(directive, place, reading)])
    else if (keyword === 'include') {
      await readIncluded(wordsOf(directive), place, { conditions: block.conditions, depth: under.depth + 1 }, reading)
      // A Host of the included file ends with it.
      block = newBlock(reading, block.conditions)
    } else if (WANTED.test(keyword)) block.lines.push(directive)
  }
}

function newBlock(reading: Reading, conditions: readonly Condition[]): Reading['blocks'][number] {
  const block = { conditions, lines: [] }
  reading.blocks.push(block)
  return block
}

function listAt(lists: Map<string, number[]>, name: string): number[] {
  const list = lists.get(name) ?? []
  lists.set(name, list)
  return list
}

/** Undefined for a comment or an empty line. */
function readLine(line: string, place: string): Directive | undefined {
  const text = line.trim()
  if (text === '' || text.startsWith('#')) return undefined
  try {
    const [read] = parse(withStandIns(text))
    return read?.type === LineType.DIRECTIVE && read.param !== '' ? withoutStandIns(read) : undefined
  } catch (error) {
    // The parser's own words show text of the file. It fails on an open quote, and on a Host without a name.
    throw invalid(place, 'not a line of ssh_config: an open quote, or nothing behind the keyword', error)
  }
}

function withStandIns(line: string): string {
  const [, keyword = '', rest = ''] = /^([^\s=]+\s*=?)(.*)$/s.exec(line) ?? []
  const hidden = rest.replaceAll(/(?<=\S)#/g, STAND_INS['#'])
  // The criteria of a Match may be written with "=".
  return keyword + (/^match\b/i.test(keyword) ? hidden : hidden.replaceAll('=', STAND_INS['=']))
}

function withoutStandIns(directive: Directive): Directive {
  const back = (text: string): string => text.replaceAll(STAND_INS['#'], '#').replaceAll(STAND_INS['='], '=')
  const { value } = directive
  return { ...directive, value: typeof value === 'string' ? back(value) : value.map((word) => ({ ...word, val: back(word.val) })) }
}

/** The words of a directive that takes several. */
function wordsOf({ value }: Directive): readonly string[] {
  return typeof value === 'string' ? [value] : value.map(({ val }) => val)
}

function hostCondition(directive: Directive, under: Under, reading: Reading): Condition {
  const words = wordsOf(directive)
  const patterns = patternList(words)
  for (const name of words.filter((word) => !isWild(word) && !word.startsWith('!'))) {
    const isMeant = matchesList(patterns, name) && under.conditions.every((condition) => holds(condition, name, name))
    if (isMeant) reading.aliases.add(name)
  }
  return { kind: 'name', patterns }
}

/** Only names are judged: a Match may run programs, and what it asks of users and networks changes from one call to the next. */
function matchConditions(directive: Directive, place: string, reading: Reading): readonly Condition[] {
  const words = wordsOf(directive)
  if (words.length === 1 && words[0]?.toLowerCase() === 'all') return []
  const conditions: Condition[] = []
  for (let index = 0; index < words.length; index += 2) {
    const kind = CRITERIA[words[index]?.toLowerCase() ?? '']
    const patterns = words[index + 1]
    if (kind === undefined || patterns === undefined) {
      reading.notices.add(`${place}: this Match and what stands under it is left out: only "all", "host" and "originalhost" are understood`)
      return [{ kind: 'never' }]
    }
    conditions.push({ kind, patterns: patternList(patterns.toLowerCase().split(',')) })
  }
  return conditions
}

const CRITERIA: Readonly<Partial<Record<string, 'name' | 'host-name'>>> = Object.assign(Object.create(null) as object, { host: 'host-name', originalhost: 'name' } as const)

/** Whether it is meant for the host `name`, whose HostName is `hostName` so far. */
export function holds(condition: Condition, name: string, hostName: string): boolean {
  if (condition.kind === 'never') return false
  return matchesList(condition.patterns, condition.kind === 'name' ? name : hostName.toLowerCase())
}

async function readIncluded(patterns: readonly string[], place: string, under: Under, reading: Reading): Promise<void> {
  if (under.depth > DEEPEST) throw invalid(place, `an Include within ${DEEPEST} others; do the files include each other in a circle?`)
  for (const pattern of patterns) {
    const path = includePath(pattern, reading.home)
    if (path === undefined) {
      reading.notices.add(`${place}: an Include of another user's home, or with a variable, is left out`)
      continue
    }
    for (const file of await reading.include(path)) {
      if (++reading.files > MOST_FILES) throw invalid(place, `more than ${MOST_FILES} files are included`)
      await readFileUnder(file, under, reading)
    }
  }
}

/** Relative ones begin in ~/.ssh, wherever the file that includes them is. */
function includePath(pattern: string, home: string): string | undefined {
  if (pattern.includes('${') || /^~[^/]/.test(pattern)) return undefined
  if (pattern.startsWith('~')) return home + pattern.slice(1)
  return pattern.startsWith('/') ? pattern : `${home}/.ssh/${pattern}`
}

function invalid(place: string, what: string, cause?: unknown): RemexError {
  return remexError('CONFIG_INVALID', `${printable(place)}: ${what}`, { hint: 'Mend the line that is named; ssh -G <host> reads the same file.', cause })
}
