import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Document, type Node, type ScalarTag, type YAMLError } from 'yaml'
import { RemexError } from '../core/errors.ts'
import { configInvalid, type Locate, type Problem } from './problems.ts'

/** Values that a file may share by `*alias`; bounds what a small file can grow to. */
const MAX_ALIASES = 10_000

/** The original read YAML 1.1, where these are true and false too. Quoted they are text. */
const YAML_1_1_BOOLEANS: ScalarTag = {
  tag: 'tag:yaml.org,2002:bool',
  default: true,
  test: /^(?:yes|Yes|YES|on|On|ON|no|No|NO|off|Off|OFF)$/,
  resolve: (text) => /^(?:yes|on)$/i.test(text),
}

/** A parsed file. */
export interface ParsedFile {
  readonly data: unknown
  readonly locate: Locate
  /** What YAML lets through and a configuration does not. */
  readonly problems: readonly Problem[]
}

/**
 * The data of a YAML text and where each part of it stands. Duplicate keys are errors, aliases are bounded.
 * Throws `CONFIG_INVALID` with the line and column of each syntax error; never with text of the file, which may be secret.
 */
export function parseYaml(text: string, label: string): ParsedFile {
  const lineCounter = new LineCounter()
  const whole = (what: string): Error => configInvalid(label, [{ path: [], what }], () => undefined)
  try {
    const document = parseDocument(text, {
      lineCounter,
      prettyErrors: false,
      logLevel: 'error',
      merge: true,
      customTags: (tags) => [YAML_1_1_BOOLEANS, ...tags],
    })
    if (document.errors.length > 0) throw syntaxErrors(document.errors, label, lineCounter)
    const data: unknown = document.toJS({ maxAliasCount: MAX_ALIASES })
    return { data, locate: (problem) => locateIn(document, lineCounter, problem), problems: idsThatAreNotText(document) }
  } catch (error) {
    if (error instanceof ReferenceError) throw whole('an alias in it has no anchor, or it has too many aliases')
    if (error instanceof RangeError) throw whole('it is nested too deeply')
    if (error instanceof RemexError) throw error
    // What is left is a merge key without a map. The parser's own words could show text of the file.
    throw whole('not valid YAML: "<<" wants a map, or a list of maps, of the same file')
  }
}

/** All duplicate keys, and the first of the others: after it the parser only guesses. */
function syntaxErrors(errors: readonly YAMLError[], label: string, lineCounter: LineCounter): Error {
  const first = errors.find(({ code }) => code !== 'DUPLICATE_KEY')
  const told = errors.filter((error) => error.code === 'DUPLICATE_KEY' || error === first)
  const places = new Map(told.map((error) => [problemOf(error), lineCounter.linePos(error.pos[0])]))
  return configInvalid(label, [...places.keys()], (problem) => places.get(problem))
}

/** Some messages of the parser end with text of the file, which may be secret. */
function problemOf({ code, message }: YAMLError): Problem {
  if (code === 'DUPLICATE_KEY') return { path: [], what: 'this key is there twice in the same map' }
  return { path: [], what: `not valid YAML: ${message.replace(/: ".*|(?<=extra characters): .*/s, '')}` }
}

/** `001:` is the number 1 to YAML and `no:` is false: such a host would have another name than the one written. */
function idsThatAreNotText(document: Document): Problem[] {
  const vms = resolved(document, document.get('vms', true))
  if (!isMap(vms)) return []
  return vms.items.flatMap(({ key }) => {
    if (!isScalar(key) || !(key.value === null || ['number', 'boolean', 'bigint'].includes(typeof key.value))) return []
    const what = `expected a host id as text, got ${key.source ?? 'nothing'}; put it in quotes`
    return [{ path: ['vms', String(key.value)], isKey: true, what }]
  })
}

/** The value where it is a single one, else its key; what is nearest above it where it is missing. */
function locateIn(document: Document, lineCounter: LineCounter, { path, isKey }: Problem): ReturnType<Locate> {
  let node: Node | undefined = resolved(document, document.contents)
  let offset = 0
  for (const segment of path) {
    const step = stepInto(node, segment)
    if (!step) return lineCounter.linePos(offset)
    offset = step.offset
    node = resolved(document, step.value)
  }
  if (isKey || !isScalar(node) || (node.type === 'PLAIN' && node.source === '')) return lineCounter.linePos(offset)
  return lineCounter.linePos(node.range?.[0] ?? offset)
}

function stepInto(node: Node | undefined, segment: PropertyKey): { offset: number; value: unknown } | undefined {
  if (isSeq<Node>(node)) {
    const item = node.items[Number(segment)]
    return item?.range ? { offset: item.range[0], value: item } : undefined
  }
  if (!isMap(node)) return undefined
  const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(segment))
  return isScalar(pair?.key) && pair.key.range ? { offset: pair.key.range[0], value: pair.value } : undefined
}

function resolved(document: Document, node: unknown): Node | undefined {
  if (isAlias(node)) return node.resolve(document)
  return isMap(node) || isSeq(node) || isScalar(node) ? node : undefined
}
