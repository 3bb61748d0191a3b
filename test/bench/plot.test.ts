import { describe, expect, it } from 'vitest'
import { barPlot, linePlot, type LinePlot } from '../../bench/lib/plot.ts'

const sizes = [1, 10, 100, 500]
const plot: LinePlot = {
  title: 'Time by "hosts" & <more>',
  xLabel: 'hosts',
  yLabel: 'time (s)',
  series: ['remex run', 'clush', 'pssh', 'pdsh', 'asyncssh'].map((name, index) => ({ name, points: sizes.map((x) => ({ x, y: x * 0.02 * (1 + index / 1000) })) })),
}
const bars = { title: 'Processor time', xLabel: 'processor time (s)', bars: [{ name: 'remex run', value: 0.8 }, { name: 'clush', value: 6.8 }, { name: 'nothing', value: 0 }] }

/** The texts of a drawing, in their order, each with where it stands. */
function textsOf(svg: string): readonly { words: string; x: number; y: number }[] {
  return [...svg.matchAll(/<text[^>]* x="([-\d.]+)" y="([-\d.]+)"[^>]*>([^<]*)<\/text>/g)].map(([, x, y, words = '']) => ({ words, x: Number(x), y: Number(y) }))
}

/** Names of elements that are open at the end, or closed where they were not open. */
function unbalanced(svg: string): readonly string[] {
  const open: string[] = []
  for (const [, closing, name = '', own] of svg.matchAll(/<(\/?)([a-z]+)(?:\s+[\w-]+="[^"<]*")*\s*(\/?)>/g)) {
    if (closing && open.pop() !== name) return [name]
    if (!closing && !own) open.push(name)
  }
  return open
}

describe.each([['lines', linePlot(plot)], ['bars', barPlot(bars)]])('a plot of %s', (_what, svg) => {
  it('is an XML document, each of whose brackets belongs to an element', () => {
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" viewBox="0 0 \d+ \d+"/)
    expect(unbalanced(svg)).toEqual([])
    expect(svg.match(/</g)?.length).toBe(svg.match(/<\/?[a-z]+(?:\s+[\w-]+="[^"<]*")*\s*\/?>/g)?.length)
  })

  it('has numbers only where numbers belong', () => {
    expect(svg).not.toMatch(/NaN|Infinity|undefined|null/)
  })

  it('is for light and dark ground, in a font that everybody has', () => {
    expect(svg).toContain('prefers-color-scheme:dark')
    expect(svg).toContain('sans-serif')
  })

  it('stays within its frame', () => {
    const [, width, height] = (/viewBox="0 0 (\d+) (\d+)"/.exec(svg) ?? []).map(Number)
    for (const { x, y } of textsOf(svg).filter(({ words }) => words !== 'time (s)')) {
      expect(x).toBeGreaterThan(0)
      expect(x).toBeLessThan(width ?? 0)
      expect(y).toBeGreaterThan(0)
      expect(y).toBeLessThan(height ?? 0)
    }
  })
})

describe('a plot of lines', () => {
  const texts = textsOf(linePlot(plot))

  it('names its axes, every line, and the numbers along the axes', () => {
    const words = texts.map((text) => text.words)
    expect(words).toEqual(expect.arrayContaining(['Time by &quot;hosts&quot; &amp; &lt;more&gt;', 'hosts', 'time (s)', '1', '10', '100', '500', '0.02', '0.2', ...plot.series.map(({ name }) => name)]))
  })

  it('keeps the names apart where the lines end at one place', () => {
    const heights = texts.filter(({ words }) => plot.series.some(({ name }) => name === words)).map(({ y }) => y).toSorted((a, b) => a - b)
    for (const [index, height] of heights.entries()) expect(height - (heights[index - 1] ?? -Infinity)).toBeGreaterThanOrEqual(18)
  })

  it('draws one point as well', () => {
    const svg = linePlot({ ...plot, series: [{ name: 'remex run', points: [{ x: 10, y: 3 }] }] })
    expect(svg).not.toMatch(/NaN|Infinity/)
  })

  it.each([['no points', []], ['nothing above 0', [{ x: 1, y: 0 }]], ['what is no number', [{ x: 1, y: Number.NaN }]]])('refuses %s', (_what, points) => {
    expect(() => linePlot({ ...plot, series: [{ name: 'a', points }] })).toThrow('above 0')
  })
})

describe('a plot of bars', () => {
  it('names every bar and says its value', () => {
    expect(textsOf(barPlot(bars)).map(({ words }) => words)).toEqual(expect.arrayContaining(['remex run', '0.8', 'clush', '6.8', 'nothing', '0', 'processor time (s)']))
  })

  it('refuses nothing', () => {
    expect(() => barPlot({ ...bars, bars: [] })).toThrow('nothing to draw')
  })
})
