import type { Random } from '../lib/random.ts'
import { changed, fieldsOf, rehashed } from './tamper-lines.ts'
import type { LogFile, Naming, Spot, Tampering, TamperScene } from './tamper-scene.ts'

/** Ways to tamper with a log, each made when its turn comes. */
export type Kind = (scene: TamperScene, random: Random) => Generator<Tampering>

/** How a log is tampered with by somebody who computes no chain anew. */
export const singleKinds: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  ['a field changed, the hash as it was', alterations((line, field) => changed(line, field))],
  // The hash alone, computed anew, is what it was.
  ['a field changed, the hash computed anew', alterations((line, field) => (field === 'hash' ? undefined : rehashed(changed(line, field))))],
  ['a record removed', removals],
  ['two records swapped, neighbours or far apart', swaps],
  ['a record doubled, behind itself or at the end', doubles],
  ['the log cut off behind a record', cutsOff],
  ['a file cut off behind a record, later ones there', cutsInside],
  ['one of the last ten records cut in two', cutsInTwo],
  ['a whole file removed', lostFiles],
])

function alterations(alter: (line: string, field: string) => string | undefined): Kind {
  return function* (scene) {
    for (const [index, spot] of scene.spots.entries()) {
      const line = lineAt(scene, index)
      for (const field of fieldsOf(line)) {
        const altered = alter(line, field)
        if (altered === undefined) continue
        const named = { ...namedAt(scene, spot, index), problems: field === 'key' ? (['altered', 'other_key'] as const) : (['altered'] as const) }
        yield { what: `${field} of record ${index + 1}`, log: withLines(scene, new Map([[index, [altered]]])), named }
      }
    }
  }
}

function* removals(scene: TamperScene): Generator<Tampering> {
  for (const [index, spot] of scene.spots.entries()) {
    const log = withLines(scene, new Map([[index, []]]))
    yield { what: `record ${index + 1}`, log, named: index === scene.spots.length - 1 ? cutOffAt(log.files, spot, index) : missingAt(log.files, spot, index) }
  }
}

function* swaps(scene: TamperScene, random: Random): Generator<Tampering> {
  const last = scene.spots.length - 1
  for (const [index, spot] of scene.spots.entries()) {
    if (index === last) return
    for (const other of [index + 1, index + 1 + random.below(last - index)]) {
      const log = withLines(scene, new Map([[index, [lineAt(scene, other)]], [other, [lineAt(scene, index)]]]))
      yield { what: `records ${index + 1} and ${other + 1}`, log, named: { ...namedAt(scene, spot, index), problems: ['reordered'] } }
    }
  }
}

function* doubles(scene: TamperScene): Generator<Tampering> {
  const last = scene.spots.length - 1
  const end = spotOf(scene, last)
  for (const [index, spot] of scene.spots.entries()) {
    const line = lineAt(scene, index)
    const behind = namedAt(scene, { ...spot, line: spot.line + 1 }, index + 1)
    yield { what: `record ${index + 1} behind itself`, log: withLines(scene, new Map([[index, [line, line]]])), named: { ...behind, problems: ['repeated'] } }
    const atEnd = namedAt(scene, { ...end, line: end.line + 1 }, last + 1)
    if (index < last) yield { what: `record ${index + 1} at the end`, log: withLines(scene, new Map([[last, [lineAt(scene, last), line]]])), named: { ...atEnd, problems: ['repeated'] } }
  }
}

function* cutsOff(scene: TamperScene): Generator<Tampering> {
  for (const [index, { file, line }] of scene.spots.entries()) {
    const files = scene.log.files.slice(0, file + 1).map((one, at) => (at === file ? { ...one, lines: one.lines.slice(0, line) } : one)).filter(({ lines }) => lines.length > 0)
    yield { what: `behind record ${index}`, log: { ...scene.log, files }, named: cutOffAt(files, { file: files.length - 1, line: files.at(-1)?.lines.length ?? 0 }, index) }
  }
}

function* cutsInside(scene: TamperScene): Generator<Tampering> {
  for (const [index, { file, line }] of scene.spots.entries()) {
    if (line === 0 || file === scene.log.files.length - 1) continue
    const files = scene.log.files.map((one, at) => (at === file ? { ...one, lines: one.lines.slice(0, line) } : one))
    yield { what: `behind record ${index}`, log: { ...scene.log, files }, named: missingAt(files, { file, line }, index) }
  }
}

const CUT_IN_TWO = 10

function* cutsInTwo(scene: TamperScene): Generator<Tampering> {
  for (const [index, spot] of scene.spots.entries()) {
    const isLate = index >= scene.spots.length - CUT_IN_TWO && spot.file === scene.log.files.length - 1
    if (!isLate) continue
    const files = scene.log.files.with(spot.file, { ...fileAt(scene.log.files, spot.file), lines: fileAt(scene.log.files, spot.file).lines.slice(0, spot.line) })
    const line = lineAt(scene, index)
    // The log ends behind the last whole record, which may be that of the file before.
    const end = spot.line > 0 ? spot : { file: spot.file - 1, line: files[spot.file - 1]?.lines.length ?? 0 }
    yield { what: `record ${index + 1}`, log: { ...scene.log, files, torn: line.slice(0, line.length >> 1) }, named: cutOffAt(files, end, index) }
  }
}

function* lostFiles(scene: TamperScene): Generator<Tampering> {
  for (const [at, { name, lines }] of scene.log.files.entries()) {
    const files = scene.log.files.toSpliced(at, 1)
    const first = scene.spots.findIndex(({ file }) => file === at)
    const isLast = at === files.length
    const named = isLast ? cutOffAt(files, { file: at - 1, line: files.at(-1)?.lines.length ?? 0 }, first) : missingAt(files, { file: at, line: 0 }, first)
    yield { what: `${name}, ${lines.length} records`, log: { ...scene.log, files }, named }
  }
}

/** The line of the record with this index. */
export function lineAt({ log, spots }: TamperScene, index: number): string {
  const { file, line } = spotOf({ spots }, index)
  return fileAt(log.files, file).lines[line] ?? ''
}

/** Where the record with this index stands. Throws where there is none. */
export function spotOf({ spots }: Pick<TamperScene, 'spots'>, index: number): Spot {
  const spot = spots[index]
  if (!spot) throw new Error(`there is no record ${index + 1}`)
  return spot
}

/** How the record with this index is named by who finds it wrong where it stands. */
export function namedAt({ log }: Pick<TamperScene, 'log'>, { file, line }: Spot, index: number): Omit<Naming, 'problems'> {
  return { file: fileAt(log.files, file).name, line: line + 1, seq: index + 1 }
}

/** The log with other lines in place of those of some records. */
function withLines({ log, spots }: TamperScene, changes: ReadonlyMap<number, readonly string[]>): TamperScene['log'] {
  const files = [...log.files]
  // From the end on, so that what comes before stays where it is.
  for (const [index, lines] of [...changes].toSorted(([a], [b]) => b - a)) {
    const { file, line } = spotOf({ spots }, index)
    files[file] = { ...fileAt(files, file), lines: fileAt(files, file).lines.toSpliced(line, 1, ...lines) }
  }
  return { ...log, files }
}

/** Missed where the next record stands: there, or in the file behind it. */
function missingAt(files: readonly LogFile[], { file, line }: Spot, index: number): Naming {
  const isThere = line < fileAt(files, file).lines.length
  return { file: fileAt(files, isThere ? file : file + 1).name, line: isThere ? line + 1 : 1, seq: index + 1, problems: ['missing'] }
}

function cutOffAt(files: readonly LogFile[], { file, line }: Spot, index: number): Naming {
  return { file: files[file]?.name ?? 'audit.jsonl', line: line + 1, seq: index + 1, problems: ['cut_off'] }
}

function fileAt(files: readonly LogFile[], at: number): LogFile {
  const file = files[at]
  if (!file) throw new Error(`there is no file ${at}`)
  return file
}
