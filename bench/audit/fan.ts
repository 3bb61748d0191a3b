import { readFile } from 'node:fs/promises'
import { verifyAudit } from '../../src/audit/verify/verify.ts'
import { absent, clearedAway } from '../engines/entry.ts'
import { judgedUnlessQuick, roundsOf } from '../fleet/entry.ts'
import { makeFleet, type Squad } from '../fleet/fleet.ts'
import { PARALLEL } from '../fleet/parallel.ts'
import { ownProgram, type OwnProgram } from '../lib/own-program.ts'
import { wholeProcess } from '../lib/whole-process.ts'
import type { AuditRow } from './entry.ts'

const HOSTS = 100
const QUICK_HOSTS = 2
const ON_DISK = 'audit log on disk'
const IN_MEMORY = 'audit log in memory'

/** What the log costs where many hosts are asked at once: the same Remex with a log that touches no disk beside it. */
export const fanRow: AuditRow = {
  id: 'fan-100',
  async open(stage) {
    const missing = absent('sshd')
    if (missing) return missing
    const fleet = await makeFleet(await stage.space.disk.directory(0o700))
    if ('skipped' in fleet) return fleet
    return clearedAway(async (afterwards) => {
      afterwards(() => fleet[Symbol.asyncDispose]())
      const squad = await fleet.squad(stage.quick ? QUICK_HOSTS : HOSTS)
      const program = await ownProgram('bench/audit/fan-program.ts')
      afterwards(() => program[Symbol.asyncDispose]())
      return {
        id: 'fan-100',
        title: `The library runs \`true\` on ${squad.count} hosts, ${PARALLEL} at a time, from opening to closing: what the audit log costs`,
        unit: 'ms',
        ...roundsOf(stage, { rounds: 25, warmUps: 2 }),
        ...judgedUnlessQuick(stage, { contender: ON_DISK, of: 'ratio', atMost: 1.05 }),
        contenders: [
          { name: IN_MEMORY, run: () => fanOut(program, squad, 'memory') },
          { name: ON_DISK, run: () => recorded(squad, () => fanOut(program, squad, 'disk')) },
        ],
      }
    })
  },
}

async function fanOut({ argv }: OwnProgram, { remexConfigPath, stateFolder, count }: Squad, sink: 'memory' | 'disk'): Promise<number> {
  const { stdout } = await wholeProcess({ argv: [...argv, remexConfigPath, stateFolder, sink], keepStdout: true })
  const { ms, hosts } = JSON.parse(stdout) as { readonly ms: number; readonly hosts: number }
  if (hosts !== count) throw new Error(`${hosts} of ${count} hosts answered`)
  return ms
}

/** Makes sure, outside of the time, that two records of each host were added. */
async function recorded({ remexConfigPath, count }: Squad, run: () => Promise<number>): Promise<number> {
  const { remote_execution: settings } = JSON.parse(await readFile(remexConfigPath, 'utf8')) as { readonly remote_execution: { readonly audit_log_path: string } }
  const before = await recordsIn(settings.audit_log_path)
  const ms = await run()
  const added = (await recordsIn(settings.audit_log_path)) - before
  if (added < 2 * count) throw new Error(`${added} records were added for ${count} hosts`)
  return ms
}

async function recordsIn(directory: string): Promise<number> {
  const verdict = await verifyAudit(directory)
  if (!verdict.ok) throw new Error(verdict.message)
  return verdict.count
}
