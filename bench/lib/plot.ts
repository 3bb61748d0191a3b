/** A drawing as SVG text, readable on light and dark ground. */

/** A line over a logarithmic plane: points in the order of x. */
export interface Series {
  readonly name: string
  readonly points: readonly Point[]
}

/** Both are greater than 0. */
export interface Point {
  readonly x: number
  readonly y: number
}

/** What a plot of lines says about itself. */
export interface LinePlot {
  readonly title: string
  /** With the unit: `hosts`. */
  readonly xLabel: string
  /** With the unit: `time (s)`. */
  readonly yLabel: string
  /** The first is drawn heavier than the others. */
  readonly series: readonly Series[]
}

/** What a plot of bars says about itself. */
export interface BarPlot {
  readonly title: string
  /** With the unit: `processor time (s)`. */
  readonly xLabel: string
  /** The first is drawn heavier than the others. */
  readonly bars: readonly { readonly name: string; readonly value: number }[]
}

const WIDTH = 860
const FONT_PX = 13
/** Colours that keep apart for most eyes, on white and on black. */
const COLOURS = ['#d6336c', '#1c7ed6', '#74c0fc', '#2f9e44', '#f08c00', '#9c36b5', '#868e96', '#0ca678', '#e8590c', '#a98467', '#5c7cfa', '#66a80f']
const STYLE = [
  `text{font:${FONT_PX}px system-ui,sans-serif;fill:#24292f}`,
  'text.title{font-size:16px;font-weight:600}',
  'text.first{font-weight:700}',
  '.ground{fill:#fff}',
  '.grid{stroke:#d0d7de;stroke-width:1}',
  '.axis{stroke:#57606a;stroke-width:1;fill:none}',
  '@media (prefers-color-scheme:dark){text{fill:#e6edf3}.ground{fill:#0d1117}.grid{stroke:#30363d}.axis{stroke:#8b949e}}',
].join('')

/** Lines over two logarithmic axes, each with its name at its end. Throws where there is nothing to draw. */
export function linePlot({ title, xLabel, yLabel, series }: LinePlot): string {
  const points = series.flatMap((one) => one.points)
  const area = { left: 80, top: 56, right: WIDTH - 260, bottom: 440 }
  const x = logScale(points.map((point) => point.x), area.left, area.right - 12)
  const y = logScale(points.map((point) => point.y), area.bottom, area.top)
  const columns = [...new Set(points.map((point) => point.x))].toSorted((a, b) => a - b)
  return drawing({ title, height: 500 }, [
    ...y.ticks.map((tick) => line('grid', [area.left, y.at(tick)], [area.right, y.at(tick)])),
    ...y.ticks.map((tick) => text(figure(tick), [area.left - 8, y.at(tick) + 4], { anchor: 'end' })),
    ...columns.map((column) => line('grid', [x.at(column), area.top], [x.at(column), area.bottom])),
    ...columns.map((column) => text(figure(column), [x.at(column), area.bottom + 20], { anchor: 'middle' })),
    `<path class="axis" d="M${area.left},${area.top}V${area.bottom}H${area.right}"/>`,
    text(xLabel, [(area.left + area.right) / 2, area.bottom + 44], { anchor: 'middle' }),
    `<g transform="translate(20,${(area.top + area.bottom) / 2}) rotate(-90)">${text(yLabel, [0, 0], { anchor: 'middle' })}</g>`,
    ...lines(series, { x: x.at, y: y.at, right: area.right, bottom: area.bottom }),
  ])
}

/** Bars from the left, each with its value at its end, in the order given. Throws where there is nothing to draw. */
export function barPlot({ title, xLabel, bars }: BarPlot): string {
  const [left, top, step] = [250, 56, 30]
  const most = Math.max(...bars.map(({ value }) => value))
  if (!(most > 0)) throw new Error(`there is nothing to draw for ${title}`)
  const width = WIDTH - left - 90
  const bottom = top + bars.length * step
  return drawing({ title, height: bottom + 40 }, [
    ...bars.flatMap(({ name, value }, index) => {
      const middle = top + index * step + step / 2
      const length = (value / most) * width
      const isFirst = index === 0
      return [
        text(name, [left - 10, middle + 4], { anchor: 'end', isFirst }),
        `<rect x="${left}" y="${round(middle - 10)}" width="${round(length)}" height="20" fill="${isFirst ? colour(0) : '#868e96'}"/>`,
        text(figure(value), [left + length + 8, middle + 4], { anchor: 'start', isFirst }),
      ]
    }),
    `<path class="axis" d="M${left},${top}V${bottom}"/>`,
    text(xLabel, [left + width / 2, bottom + 24], { anchor: 'middle' }),
  ])
}

interface Scales {
  readonly x: (value: number) => number
  readonly y: (value: number) => number
  readonly right: number
  readonly bottom: number
}

/** The lines, and beside the end of each its name; names that would lie upon each other are moved apart. */
function lines(series: readonly Series[], { x, y, right, bottom }: Scales): readonly string[] {
  const ends = series.map(({ points }) => y(points.at(-1)?.y ?? 1))
  const places = apart(ends, { gap: FONT_PX + 6, most: bottom })
  // The first is drawn last, over the others.
  const order = series.map((_, index) => index).toReversed()
  return order.flatMap((index) => {
    const { name, points } = series[index] ?? { name: '', points: [] }
    const [isFirst, stroke] = [index === 0, colour(index)]
    const at = points.map((point) => [round(x(point.x)), round(y(point.y))] as const)
    const [end, place] = [round(ends[index] ?? 0), round(places[index] ?? 0)]
    const lastX = at.at(-1)?.[0] ?? 0
    return [
      `<path d="M${at.map((pair) => pair.join(',')).join('L')}" fill="none" stroke="${stroke}" stroke-width="${isFirst ? 4 : 2}" stroke-linejoin="round"/>`,
      ...at.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="${isFirst ? 5 : 3.5}" fill="${stroke}"/>`),
      `<path d="M${lastX + 8},${end}L${right + 18},${place}H${right + 26}" fill="none" stroke="${stroke}" stroke-width="1"/>`,
      text(name, [right + 32, place + 4], { anchor: 'start', isFirst }),
    ]
  })
}

/** The heights, moved as little as possible so that neighbours are `gap` apart and none is lower than `most`. */
function apart(heights: readonly number[], { gap, most }: { gap: number; most: number }): readonly number[] {
  const order = heights.map((_, index) => index).toSorted((a, b) => (heights[a] ?? 0) - (heights[b] ?? 0))
  const places: number[] = []
  let lowest = -Infinity
  for (const index of order) places[index] = lowest = Math.max(heights[index] ?? 0, lowest + gap)
  let limit = most
  for (const index of order.toReversed()) {
    places[index] = Math.min(places[index] ?? 0, limit)
    limit = (places[index] ?? 0) - gap
  }
  return places
}

interface Scale {
  readonly at: (value: number) => number
  /** 1, 2 and 5 of each power of ten that is within; at least two. */
  readonly ticks: readonly number[]
}

/** Maps the values, rounded outwards to 1, 2 or 5 times a power of ten, to the pixels from `start` to `end`, by their logarithm. */
function logScale(values: readonly number[], start: number, end: number): Scale {
  const [least, most] = [Math.min(...values), Math.max(...values)]
  if (!(least > 0) || !Number.isFinite(most)) throw new Error('a logarithmic axis needs numbers above 0')
  const steps = range(Math.floor(Math.log10(least)) - 1, Math.ceil(Math.log10(most)) + 1).flatMap((power) => [1, 2, 5].map((digit) => Number(`${digit}e${power}`)))
  const from = steps.findLast((step) => step <= least) ?? least
  const to = steps.find((step) => step >= most && step > from) ?? most
  const at = (value: number): number => start + (Math.log(value / from) / Math.log(to / from)) * (end - start)
  return { at, ticks: steps.filter((step) => step >= from && step <= to) }
}

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index)
}

function drawing({ title, height }: { title: string; height: number }, parts: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escaped(title)}">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}</style>`,
    `<rect class="ground" width="${WIDTH}" height="${height}" rx="6"/>`,
    `<text class="title" x="20" y="32">${escaped(title)}</text>`,
    ...parts,
    '</svg>\n',
  ].join('\n')
}

type Place = readonly [x: number, y: number]

function line(style: string, [x1, y1]: Place, [x2, y2]: Place): string {
  return `<line class="${style}" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"/>`
}

function text(words: string, [x, y]: Place, { anchor, isFirst = false }: { anchor: 'start' | 'middle' | 'end'; isFirst?: boolean }): string {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}"${isFirst ? ' class="first"' : ''}>${escaped(words)}</text>`
}

function colour(index: number): string {
  return COLOURS[index % COLOURS.length] ?? '#868e96'
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

/** Three digits that count. */
function figure(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString('en')
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
