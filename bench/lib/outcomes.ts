import type { Skipped } from '../../testkit/daemon.ts'
import type { RowResult } from '../harness.ts'
import { describeMachine, type Machine } from './machine.ts'
import { textTable } from './tables.ts'

/** Why there is no result. */
export interface Failed {
  readonly failed: string
}

/** What came of a row: its result, or why there is none, because it cannot be measured here, or it failed. */
export type Outcome = { readonly id: string } & (RowResult | Skipped | Failed)

/** An outcome as people read it. */
export function outcomeText(outcome: Outcome): string {
  if ('skipped' in outcome) return `${outcome.id}: skipped, ${outcome.skipped}\n`
  return 'failed' in outcome ? `${outcome.id}: FAILED, ${outcome.failed}\n` : textTable([outcome])
}

/** The results among the outcomes. */
export function measuredOf(outcomes: readonly object[]): readonly RowResult[] {
  return outcomes.filter((outcome): outcome is RowResult => 'contenders' in outcome)
}

/** The exit status: 1 when a goal was missed, or a row failed. What is skipped does not count. */
export function statusOf(outcomes: readonly object[]): number {
  return outcomes.some((outcome) => 'failed' in outcome || ('reached' in outcome && outcome.reached === false)) ? 1 : 0
}

/** How outcomes are printed on stdout: for people, below a line on the machine, or as JSON Lines, each with the machine. */
export interface Printing<T> {
  readonly json: boolean
  readonly machine: Machine
  readonly text: (outcome: T) => string
}

/** Takes turns one after the other, and prints what came of each as soon as it is there. */
export async function takeTurns<T extends object>(turns: readonly (() => Promise<T>)[], { json, machine, text }: Printing<T>): Promise<readonly T[]> {
  if (!json) process.stdout.write(`${describeMachine(machine)}\n\n`)
  const outcomes: T[] = []
  for (const turn of turns) {
    const outcome = await turn()
    outcomes.push(outcome)
    process.stdout.write(json ? `${JSON.stringify({ ...outcome, machine })}\n` : `${text(outcome)}\n`)
  }
  return outcomes
}
