import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { verifyAudit } from '../audit/verify/verify.ts'
import { asRemexError } from '../core/errors.ts'
import type { RunResult } from '../core/outcome.ts'
import { printable } from '../core/printable.ts'
import type { GroupRunOptions } from '../fleet/group.ts'
import type { Remex } from '../remex.ts'
import type { DemoFleet } from './demo-fleet.ts'
import { receiptLine } from './transfer-report.ts'
import { stateText, verdictText } from './verdict.ts'

/** What a step of the demo works with. */
export interface DemoScene {
  readonly fleet: DemoFleet
  readonly remex: Remex
  readonly signal: AbortSignal
  /** Shows lines of the step's output. */
  readonly show: (text: string) => void
}

/** One step of the demo: what a user would type, and what comes of it. */
export interface DemoStep {
  readonly name: string
  /** Why it is shown, in a sentence. */
  readonly about: string
  /** As a user would type it. */
  readonly command: string
  /** Does it through the library; resolves with whether it came out as it should. */
  readonly perform: (scene: DemoScene) => Promise<boolean>
}

const SCRIPT = `#!/bin/sh
echo "$1 from $REMEX_DEMO_HOST, by the script $(basename "$0")"
`
/** A child that ignores TERM, as daemons do that nobody planned to end. */
const STUBBORN = `sh -c 'trap "" TERM; sleep 300 & wait; sleep 300' & sleep 300`
const REPORT_LINES = 20_000

/** The main job, from a host that nobody has vouched for to a log that can be verified. */
export const DEMO_STEPS: readonly DemoStep[] = [
  {
    name: 'unknown_host_key',
    about: 'A host whose key nobody has vouched for is refused, without a question in the middle of the work.',
    command: 'remex run vm01 -- uname -s',
    perform: refuseUnknown,
  },
  {
    name: 'trust',
    about: 'So the keys are enrolled first: here by the fingerprints that were read on the hosts themselves.',
    command: 'remex hosts trust vm01 --fingerprint SHA256:…   (and so on to vm04)',
    perform: trustAll,
  },
  {
    name: 'run',
    about: 'A command on all four at once.',
    command: `remex run all -c 'echo "I am $REMEX_DEMO_HOST, and my home is $HOME"'`,
    perform: (scene) => showRun(scene, scene.remex.hosts('all').run('echo "I am $REMEX_DEMO_HOST, and my home is $HOME"', live(scene))),
  },
  { name: 'script', about: 'A local script: sent, run, removed.', command: 'remex script vm01,vm02 ./count.sh -- greetings', perform: runScript },
  { name: 'put', about: 'A file to one host: written beside its place, verified by SHA-256 on both ends, then renamed.', command: 'remex put vm03 report.csv report.csv --mode 0640', perform: upload },
  { name: 'get', about: 'And back again.', command: 'remex get vm03 report.csv report-of-vm03.csv', perform: download },
  {
    name: 'deadline',
    about: 'A deadline ends the whole process tree, here with a child that ignores TERM, and says so.',
    command: `remex run vm04 --timeout 1s -c '…a sleep whose child ignores TERM…'`,
    perform: passDeadline,
  },
  { name: 'audit', about: 'Everything above was in the audit log before it happened, and the log proves that it is whole.', command: 'remex audit verify', perform: verifyLog },
]

async function refuseUnknown({ remex, show, signal }: DemoScene): Promise<boolean> {
  for await (const { ended, error } of remex.hosts('vm01').run(['uname', '-s'], { signal })) {
    show(`${error?.code ?? ended}: ${printable(error?.message ?? '')}`)
    if (error?.code !== 'HOST_KEY_UNKNOWN' || ended !== 'not_started') return false
  }
  return true
}

async function trustAll({ remex, fleet, show }: DemoScene): Promise<boolean> {
  for (const [vmId, fingerprint] of fleet.fingerprints) {
    const [key] = await remex.trust.trust(vmId, { fingerprint })
    if (!key) return false
    show(`${vmId}: ${key.type} ${fingerprint} trusted from now on`)
  }
  return true
}

async function runScript(scene: DemoScene): Promise<boolean> {
  const path = join(scene.fleet.directory, 'count.sh')
  await writeFile(path, SCRIPT, { mode: 0o700 })
  return showRun(scene, scene.remex.hosts('vm01,vm02').script(path, { args: ['greetings'], ...live(scene) }))
}

async function upload({ remex, fleet, show, signal }: DemoScene): Promise<boolean> {
  const lines = Array.from({ length: REPORT_LINES }, (_, index) => `${index},vm${String((index % 4) + 1).padStart(2, '0')},ok\n`)
  const local = join(fleet.directory, 'report.csv')
  await writeFile(local, lines.join(''), { mode: 0o600 })
  const receipt = await remex.host('vm03').put(local, 'report.csv', { mode: 0o640, signal })
  show(receiptLine(receipt).replaceAll(`${fleet.directory}/`, ''))
  return receipt.verified
}

async function download({ remex, fleet, show, signal }: DemoScene): Promise<boolean> {
  const local = join(fleet.directory, 'report-of-vm03.csv')
  const receipt = await remex.host('vm03').get('report.csv', local, { signal })
  show(receiptLine(receipt).replaceAll(`${fleet.directory}/`, ''))
  const [sent, fetched] = await Promise.all([readFile(join(fleet.directory, 'report.csv')), readFile(local)])
  return receipt.verified && sent.equals(fetched)
}

async function passDeadline({ remex, show, signal }: DemoScene): Promise<boolean> {
  const { ended, error, killed, executionTime } = await remex.host('vm04').run(STUBBORN, { timeout: '1s', signal })
  show(`${printable(error?.message ?? ended)} (${executionTime.toFixed(1)} s)`)
  if (killed) show(verdictText(killed))
  return ended === 'timed_out' && killed?.survivors.length === 0 && killed.scope !== 'unknown'
}

async function verifyLog({ remex, show }: DemoScene): Promise<boolean> {
  const verdict = await verifyAudit(remex.config.settings.auditPath)
  show(verdict.ok ? `ok, ${verdict.count} records, head ${verdict.head.hash}` : verdict.message)
  return verdict.ok
}

type Live = Pick<GroupRunOptions, 'signal'>

function live({ signal }: DemoScene): Live {
  return { signal }
}

/** Output by host, as hosts finish, so that the demo reads the same every time. */
async function showRun({ show }: DemoScene, results: AsyncIterable<RunResult>): Promise<boolean> {
  let succeeded = 0
  let count = 0
  for await (const result of results) {
    count++
    if (result.success) succeeded++
    for (const line of result.stdout.trimEnd().split('\n')) show(printable(`${result.vmId}: ${line}`))
    if (result.error) show(printable(`${result.vmId}: ${stateText(result.state)}: ${result.error.message}`))
  }
  show(`${count} hosts: ${succeeded} succeeded`)
  return succeeded === count
}

/** What a step that threw says of it. */
export function demoFailure(error: unknown): string {
  const { code, message } = asRemexError(error)
  return `${code}: ${printable(message)}`
}
