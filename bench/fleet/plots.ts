import type { RowResult } from '../harness.ts'
import { barPlot, linePlot, type BarPlot, type LinePlot, type Series } from '../lib/plot.ts'
import { SIZES } from './fan.ts'
import { COMMAND, peers } from './peers.ts'

/** A plot as a file. */
export interface Plot {
  /** Of the file, without its suffix. */
  readonly name: string
  readonly title: string
  readonly svg: string
}

/** The plots that the results are enough for. */
export function plotsOf(results: readonly RowResult[]): readonly Plot[] {
  const find = (id: string): RowResult | undefined => results.find((result) => result.id === id)
  return [
    ...bySize('fleet-time', find, { row: 'fan', title: `Time of ${COMMAND} by number of hosts`, xLabel: 'hosts', yLabel: 'time (s)', factor: 1e-3 }),
    ...bySize('fleet-memory', find, { row: 'memory', title: `Peak memory of the client by number of hosts`, xLabel: 'hosts', yLabel: 'memory (MB)', factor: 1 }),
    ...byContender('fleet-cpu', find('cpu'), { title: 'Processor time of the client on 100 hosts', xLabel: 'processor time (s)' }),
    ...byContender('connect', find('connect'), { title: 'Connect and run true', xLabel: 'time (ms)' }),
    ...byContender('warm', find('warm'), { title: 'Run true on an open connection', xLabel: 'time (ms)' }),
  ]
}

interface SizePlot extends Omit<LinePlot, 'series'> {
  /** What the ids of the rows begin with. */
  readonly row: string
  /** From the row's unit to that of the plot. */
  readonly factor: number
}

function bySize(name: string, find: (id: string) => RowResult | undefined, { row, factor, ...plot }: SizePlot): readonly Plot[] {
  const series = peers.map((peer): Series => ({
    name: peer.name,
    points: SIZES.flatMap((x) => {
      const median = find(`${row}-${x}`)?.contenders.find((measured) => measured.name === peer.name)?.median
      return median === undefined ? [] : [{ x, y: median * factor }]
    }),
  }))
  const drawn = series.filter(({ points }) => points.length > 0)
  return drawn.length === 0 ? [] : [{ name, title: plot.title, svg: linePlot({ ...plot, series: drawn }) }]
}

/** Remex first, as it is in every plot. */
function byContender(name: string, result: RowResult | undefined, plot: Omit<BarPlot, 'bars'>): readonly Plot[] {
  if (result === undefined) return []
  const bars = result.contenders.map(({ name: contender, median }) => ({ name: contender, value: median }))
  const sorted = bars.toSorted((a, b) => Number(b.name.startsWith('remex')) - Number(a.name.startsWith('remex')) || a.value - b.value)
  return [{ name, title: plot.title, svg: barPlot({ ...plot, bars: sorted }) }]
}
