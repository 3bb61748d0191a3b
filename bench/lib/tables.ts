import { printable } from '../../src/core/printable.ts'
import { goalsOf, judgedNames, reaches, type Goal, type LeftOut, type Measured, type RowResult } from '../harness.ts'

/** The results as lines of text for a terminal. */
export function textTable(results: readonly RowResult[]): string {
  const lines = results.flatMap((result) => [verdictLine(result), ...result.contenders.map((measured) => `  ${contenderLine(measured, result)}`), ...leftOutOf(result).map((line) => `  ${line}`), ''])
  return lines.join('\n')
}

function verdictLine(result: RowResult): string {
  const goals = goalsOf(result).map(goalText).join(', ')
  return goals ? `${result.title}  [${goals}: ${result.reached ? 'reached' : 'MISSED'}]` : result.title
}

function leftOutOf({ leftOut = [] }: RowResult): readonly string[] {
  return leftOut.map((one) => `${one.name.padEnd(34)} ${leftOutText(one)}`)
}

/** One line is enough of what may be the whole stderr of a program. */
function leftOutText({ reason }: LeftOut): string {
  return `left out: ${printable(reason.split('\n')[0] ?? '').slice(0, 200)}`
}

function contenderLine({ name, median, ratio, samples }: Measured, { unit }: RowResult): string {
  const spread = `${figure(Math.min(...samples))} – ${figure(Math.max(...samples))}`
  return `${name.padEnd(34)} ${figure(median).padStart(9)} ${unit.padEnd(6)} ${ratio.toFixed(2).padStart(6)}×   (${spread}, ${samples.length} rounds)`
}

/** The results as a table of Markdown. */
export function markdownTable(results: readonly RowResult[]): string {
  const rows = results.flatMap((result) => [
    ...result.contenders.map((measured, index) => {
      const { name, median, ratio } = measured
      return `| ${index === 0 ? result.title : ''} | ${name} | ${figure(median)} ${result.unit} | ${ratio.toFixed(2)} | ${verdict(measured, result)} |`
    }),
    ...(result.leftOut ?? []).map((one) => `|  | ${one.name} |  |  | ${leftOutText(one).replaceAll('|', '\\|')} |`),
  ])
  return ['| what | contender | median | ratio | goal |', '|---|---|--:|--:|---|', ...rows].join('\n')
}

function verdict(measured: Measured, result: RowResult): string {
  return goalsOf(result)
    .filter((goal) => judgedNames(goal).includes(measured.name))
    .map((goal) => `${goalText(goal)}: ${reaches(measured, goal, result.contenders) ? 'reached' : '**missed**'}`)
    .join('; ')
}

function goalText({ of, to, atMost, atLeast }: Goal): string {
  const limit = atMost === undefined ? `at least ${atLeast ?? ''}` : `at most ${atMost}`
  return of === 'ratio' ? `${limit} ×${to === undefined ? '' : ` ${to}`}` : limit
}

function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2)
}
