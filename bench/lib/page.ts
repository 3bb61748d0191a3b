import { readFileSync, writeFileSync } from 'node:fs'
import { describeMachine, type Machine } from './machine.ts'
import { withSection } from './section.ts'

/** The page that `--write` puts results into, from the top of the checkout. */
const PAGE = 'docs/benchmarks.md'

/** Throws where the page has no place for the section: after the measuring its figures would be lost. */
export function requireSection(section: string): void {
  withSection(readFileSync(PAGE, 'utf8'), '', section)
}

/** Puts what was measured into a section of the page: the date, the machine, and `blocks` of Markdown. */
export function writeSection(section: string | undefined, { date, machine }: { readonly date: string; readonly machine: Machine }, blocks: readonly string[]): void {
  const text = [`Measured on ${date}: ${describeMachine(machine)}.`, ...blocks].join('\n\n')
  writeFileSync(PAGE, withSection(readFileSync(PAGE, 'utf8'), text, section))
}
