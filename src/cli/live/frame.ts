import type { Style } from '../colour.ts'
import type { Controls } from './controls.ts'
import type { LinesPane, PaneRow } from './lines-pane.ts'
import type { RunModel } from './model.ts'
import { clip, fitRow, widthOf, type Row, type Size, type Span } from './rows.ts'

/** A smaller terminal has plain lines. */
const SMALLEST: Size = { columns: 40, rows: 10 }
const BAR_WIDTH = 20
/** A terminal of fewer columns has no bar. */
const NARROW = 60
const SLOWEST = 10
/** The part of the screen that reasons may take: one row of so many. */
const ROWS_PER_REASON = 6

const KEYS = 'f fold   c cancel one host   q cancel all   ? keys'
const HELP: readonly string[] = [
  'f             folds equal lines of several hosts, or shows each again',
  'c id Return   cancels one host: ends its processes there',
  'q, Ctrl-C     cancels all hosts; once more leaves at once',
  'Up, Down      scroll the lines; PgUp, PgDn by a page',
  'End           back to the newest lines',
  '?             shows this, or takes it away',
]

/** What a frame is made of. */
export interface Scene {
  readonly model: RunModel
  readonly pane: LinesPane
  readonly controls: Pick<Controls, 'typed' | 'message' | 'helps'>
  readonly nowMs: number
}

/** Whether there is room for a live view. */
export function hasRoom({ columns, rows }: Size): boolean {
  return columns >= SMALLEST.columns && rows >= SMALLEST.rows
}

/** The whole screen: how far the run is, the newest lines of output, and the keys. */
export function frameOf(scene: Scene, size: Size): readonly Row[] {
  const head = [...statusRows(scene, size), ruleRow(scene.pane, size)]
  const foot = [...(scene.controls.helps ? HELP.map((text): Row => [{ text }]) : []), footRow(scene)]
  const height = Math.max(0, size.rows - head.length - foot.length)
  const lines = scene.pane.rows(height).map((row) => lineRow(row, scene.pane.folded, size.columns))
  const blank = Array.from({ length: height - lines.length }, (): Row => [])
  return [...head, ...lines, ...blank, ...foot].slice(-size.rows).map((row) => fitRow(row, size.columns))
}

function statusRows({ model, nowMs }: Scene, { columns, rows }: Size): Row[] {
  return [progressRow(model, nowMs, columns), countsRow(model), ...slowestRows(model, nowMs, columns), ...troubleRows(model, { columns, rows: Math.max(1, Math.floor(rows / ROWS_PER_REASON)) })]
}

function progressRow(model: RunModel, nowMs: number, columns: number): Row {
  const part = model.total === 0 ? 1 : model.done / model.total
  const bar = '#'.repeat(Math.floor(part * BAR_WIDTH)).padEnd(BAR_WIDTH, '.')
  const rate = model.rate(nowMs)
  return [
    { text: columns < NARROW ? '' : `[${bar}] ` },
    { text: `${model.done}/${model.total} hosts done`, style: 'bold' },
    { text: `  ${rate.toFixed(rate < 10 ? 1 : 0)} hosts/s  ${elapsed(nowMs - model.startMs)}` },
  ]
}

function countsRow(model: RunModel): Row {
  const ends = model.states.map(([state, count], index): Span => ({ text: `${count} ${state}`, ...(count > 0 && { style: index === 0 ? 'green' : 'red' }) }))
  const spans: Span[] = [{ text: `${model.running} running` }, { text: `${model.waiting} waiting` }, ...ends]
  return spans.flatMap((span, index) => (index === 0 ? [span] : [{ text: ', ' }, span]))
}

/** As many as a row holds. */
function slowestRows(model: RunModel, nowMs: number, columns: number): Row[] {
  let text = ''
  for (const { vmId, elapsedMs } of model.slowest(SLOWEST, nowMs)) {
    const more = `${text === '' ? 'slowest: ' : `${text}, `}${vmId} ${elapsed(elapsedMs)}`
    if (text !== '' && widthOf(more) > columns) break
    text = more
  }
  return text === '' ? [] : [[{ text, style: 'dim' }]]
}

function troubleRows(model: RunModel, { columns, rows: most }: Size): Row[] {
  const label = 'failing: '
  const shown = model.troubles(most)
  const rows = shown.map((trouble, index): Row => [{ text: index === 0 ? label : ' '.repeat(label.length) }, { text: `${hostsText(trouble, columns)}: ${trouble.reason}`, style: 'red' }])
  const others = model.reasons - shown.length
  return others === 0 ? rows : [...rows, [{ text: `${' '.repeat(label.length)}and ${others} more ${others === 1 ? 'reason' : 'reasons'}` }]]
}

function ruleRow(pane: LinesPane, { columns }: Size): Row {
  const title = ['-- lines', ...(pane.folded ? ['folded'] : []), ...(pane.below > 0 ? [`${pane.below} newer below`] : [])].join(', ')
  return [{ text: `${title} ${'-'.repeat(Math.max(0, columns - title.length - 1))}`, style: 'dim' }]
}

function lineRow(row: PaneRow, folded: boolean, columns: number): Row {
  const style: Style = row.stream === 'stderr' ? 'yellow' : 'cyan'
  return [{ text: `${hostsText(row, columns)}:`, style }, { text: ` ${folded && row.text === '' ? '(an empty line)' : row.text}` }]
}

/** At most half of a row, so that what is said of the hosts has room; where they are too many, how many. */
function hostsText({ hosts, count }: { readonly hosts: string; readonly count: number }, columns: number): string {
  const most = Math.floor(columns / 2)
  const number = ` (${count} hosts)`
  return count < 2 || widthOf(hosts) <= most ? hosts : clip(hosts, Math.max(1, most - number.length)) + number
}

function footRow({ controls: { typed, message } }: Scene): Row {
  if (typed !== undefined) return [{ text: `cancel which host? ${typed}_`, style: 'bold' }, { text: '   Return cancels it, Escape does not' }]
  return message === undefined ? [{ text: KEYS, style: 'dim' }] : [{ text: message, style: 'bold' }]
}

/** `0:07`, `12:34`, `1:02:03`. */
function elapsed(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  const two = (value: number): string => String(value).padStart(2, '0')
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60]
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`
}
