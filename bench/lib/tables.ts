import { judgedNames, reaches, type Goal, type Measured, type RowResult } from '../harness.ts'

/** The results as lines of text for a terminal. */
export function textTable(results: readonly RowResult[]): string {
  const lines = results.flatMap((result) => [verdictLine(result), ...result.contenders.map((measured) => `  ${contenderLine(measured, result)}`), ''])
  return lines.join('\n')
}

function verdictLine({ title, goal, reached }: RowResult): string {
  return goal ? `${title}  [${goalText(goal)}: ${reached ? 'reached' : 'MISSED'}]` : title
}

function contenderLine({ name, median, ratio, samples }: Measured, { unit }: RowResult): string {
  const spread = `${figure(Math.min(...samples))} – ${figure(Math.max(...samples))}`
  return `${name.padEnd(34)} ${figure(median).padStart(9)} ${unit.padEnd(6)} ${ratio.toFixed(2).padStart(6)}×   (${spread}, ${samples.length} rounds)`
}

/** The results as a table of Markdown. */
export function markdownTable(results: readonly RowResult[]): string {
  const rows = results.flatMap((result) =>
    result.contenders.map((measured, index) => {
      const { name, median, ratio } = measured
      return `| ${index === 0 ? result.title : ''} | ${name} | ${figure(median)} ${result.unit} | ${ratio.toFixed(2)} | ${verdict(measured, result)} |`
    }),
  )
  return ['| what | contender | median | ratio | goal |', '|---|---|--:|--:|---|', ...rows].join('\n')
}

function verdict(measured: Measured, { goal }: RowResult): string {
  if (goal === undefined || !judgedNames(goal).includes(measured.name)) return ''
  return `${goalText(goal)}: ${reaches(measured, goal) ? 'reached' : '**missed**'}`
}

function goalText({ of, atMost, atLeast }: Goal): string {
  const limit = atMost === undefined ? `at least ${atLeast ?? ''}` : `at most ${atMost}`
  return of === 'ratio' ? `${limit} ×` : limit
}

function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2)
}
