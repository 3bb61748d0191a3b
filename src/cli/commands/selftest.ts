import type { Command } from 'commander'
import type { SelftestRow } from '../../enrol/selftest.ts'
import { printable } from '../../core/printable.ts'
import { painter } from '../colour.ts'
import { notice, printJson, withRemex, type Door, type Start } from '../door.ts'
import { TARGETS } from '../run-options.ts'
import { tellLeftOut } from '../run-report.ts'
import { SelftestFiles, selftestJson, selftestLines } from '../selftest-files.ts'
import { wholeNumber } from '../values.ts'

/** The options of `selftest`. */
export interface SelftestFlags {
  readonly parallel?: number
}

/** `remex selftest`. */
export function defineSelftest(command: Command, start: Start): void {
  command
    .description('Tries the main job on the real hosts: connect, command, script, upload, download, deadline, audit. Leaves nothing behind there; the log and the rows go to results/ (or $RESULTS_DIR).')
    .argument('[targets]', `${TARGETS} (default: all)`)
    .option('--parallel <n>', 'hosts at a time (default: max_parallel_commands, 32)', wholeNumber('--parallel', 1))
    .addHelpText('after', '\nExamples:\n  remex selftest\n  remex selftest vm01,@lab --json\n')
    .action((targets: string | undefined, flags: SelftestFlags) => start(command, (door) => selftestHosts(door, targets ?? 'all', flags)))
}

async function selftestHosts(door: Door, targets: string, { parallel }: SelftestFlags): Promise<number> {
  return withRemex(door, async (remex) => {
    const { selftest } = await import('../../enrol/selftest.ts')
    const group = remex.hosts(targets)
    tellLeftOut(door, group)
    const files = await SelftestFiles.open({ directory: door.env['RESULTS_DIR'], user: remex.user, ids: group.ids })
    const rows = await selftest({
      ids: group.ids,
      parallel: parallel ?? remex.config.settings.maxParallel,
      host: (vmId) => remex.host(vmId),
      connect: (vmId, signal) => remex.check(vmId, signal),
      auditPath: remex.config.settings.auditPath,
      signal: door.stop.signal,
      onRow: (row) => {
        files.log(selftestLines(row, { withReason: true }))
        return door.globals.json ? printJson(door, selftestJson(row)) : tell(door, row)
      },
      onNotice: (text) => {
        files.log([printable(text)])
        notice(door, printable(text))
      },
      onHost: (vmId, isBusy) => (isBusy ? door.stop.started(vmId) : door.stop.ended(vmId)),
    })
    const summary = summaryOf(rows)
    files.log(summary)
    const paths = await files.write(rows)
    for (const line of [...summary, paths]) notice(door, printable(line))
    return rows.some(({ status }) => status === 'failed') ? 1 : 0
  })
}

async function tell(door: Door, row: SelftestRow): Promise<void> {
  const paint = painter(door, door.stdout)
  const [first = '', ...more] = selftestLines(row, { withReason: door.globals.verbose })
  const colour = row.status === 'ok' ? 'green' : row.status === 'failed' ? 'red' : 'yellow'
  for (const line of [first.replace(` ${row.status}`, ` ${paint(row.status, colour)}`), ...more]) await door.stdout.line(line)
}

/** How many checks came to what, and which failed. */
function summaryOf(rows: readonly SelftestRow[]): string[] {
  const count = (status: SelftestRow['status']): number => rows.filter((row) => row.status === status).length
  const [ok, failed, skipped] = [count('ok'), count('failed'), count('skipped')]
  const hosts = new Set(rows.flatMap(({ vmId }) => vmId ?? [])).size
  const parts = [`${ok} ok`, ...(failed > 0 ? [`${failed} failed`] : []), ...(skipped > 0 ? [`${skipped} skipped`] : [])]
  return [`selftest of ${hosts} ${hosts === 1 ? 'host' : 'hosts'}: ${parts.join(', ')}`]
}
