import { join } from 'node:path'
import { printable } from '../core/printable.ts'
import { quoteWord } from '../core/quote.ts'
import { Remex } from '../remex.ts'
import { painter } from './colour.ts'
import { startDemoFleet, type DemoFleet } from './demo-fleet.ts'
import { demoFailure, DEMO_STEPS, type DemoStep } from './demo-steps.ts'
import { printJson, type Door } from './door.ts'
import { programName } from './package-root.ts'

/** How the demo is to be. */
export interface DemoOptions {
  readonly keep: boolean
}

/** Shows the main job on a fleet of its own; with `keep` the fleet then stays up until Ctrl-C. Gives the exit status. */
export function showDemo(door: Door, options: DemoOptions): Promise<number> {
  return door.stop.during(() => demo(door, options))
}

async function demo(door: Door, { keep }: DemoOptions): Promise<number> {
  const say = teller(door)
  say.text('remex demo: starting four SSH servers on loopback, vm01 to vm04, each with a key of its own')
  const fleet = await startDemoFleet()
  try {
    const failed = await performAll(door, fleet, say)
    if (failed === undefined) return 0
    if (keep) await keepUp(door, fleet, say)
    else tellNext(say, failed)
    return failed === 0 ? 0 : 1
  } finally {
    await fleet.close()
  }
}

/** How the demo speaks; with --json nothing but one object for each step. */
interface Teller {
  text(line: string): void
  command(line: string): void
  result(step: DemoStep, outcome: { readonly success: boolean; readonly lines: readonly string[]; readonly ms: number }): void
}

/** The number of steps that failed; undefined when it was interrupted. */
async function performAll(door: Door, fleet: DemoFleet, say: Teller): Promise<number | undefined> {
  const { user } = door.globals
  // What is noted of its runs is of no use to anybody afterwards.
  const env = { ...door.env, REMEX_STATE_DIR: join(fleet.directory, 'state') }
  await using remex = await Remex.open({ config: fleet.configPath, env, user })
  const isOver = (): boolean => door.stop.signal.aborted
  let failed = 0
  for (const step of DEMO_STEPS) {
    if (isOver()) return undefined
    say.text(`\n${step.about}`)
    say.command(`$ ${step.command}`)
    const lines: string[] = []
    const show = (text: string): void => {
      lines.push(text)
      say.text(text)
    }
    const startMs = performance.now()
    const success = await step.perform({ fleet, remex, signal: door.stop.signal, show }).catch((error: unknown) => {
      show(demoFailure(error))
      return false
    })
    if (isOver()) return undefined
    if (!success) failed++
    say.result(step, { success, lines, ms: performance.now() - startMs })
  }
  return failed
}

function teller(door: Door): Teller {
  const { stdout, globals } = door
  const paint = painter(door, stdout)
  if (globals.json) {
    const result: Teller['result'] = ({ name, command }, { success, lines, ms }) =>
      void printJson(door, { step: name, command, success, output: lines, execution_time: Math.round(ms) / 1000 })
    return { text: () => undefined, command: () => undefined, result }
  }
  return {
    text: (line) => void stdout.line(line),
    command: (line) => void stdout.line(paint(printable(line), 'bold')),
    result: (_, { success }) => success || void stdout.line(paint('this is not as it should be', 'red')),
  }
}

function tellNext(say: Teller, failed: number): void {
  if (failed > 0) return say.text(`\n${failed} of ${DEMO_STEPS.length} steps did not come out as they should.`)
  const remex = programName()
  say.text(`
All ${DEMO_STEPS.length} steps came out as they should. The servers are gone, and nothing is left behind.
Next, with your own hosts:
  ${remex} init                 writes configs/config.yml; enter your hosts there
  ${remex} config check
  ${remex} keys setup all       from nothing to access by key
  ${remex} run all -- uptime
Or play with these four: ${remex} demo --keep`)
}

async function keepUp(door: Door, fleet: DemoFleet, say: Teller): Promise<void> {
  const remex = `${programName()} --config ${quoteWord(fleet.configPath)}`
  if (door.globals.json) await printJson(door, { step: 'keep', config: fleet.configPath, directory: fleet.directory })
  say.text(`
The servers stay up until Ctrl-C. In another terminal:
  ${remex} hosts list
  ${remex} run all -- uptime
  ${remex} audit list`)
  const { signal } = door.stop
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    // Servers that nobody connects to do not keep the process alive by themselves everywhere.
    const alive = setInterval(() => undefined, 60_000)
    signal.addEventListener('abort', () => {
      clearInterval(alive)
      resolve()
    }, { once: true })
  })
}
