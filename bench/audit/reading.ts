import { verifyAudit } from '../../src/audit/verify/verify.ts'
import { judgedUnlessQuick, lasting, roundsOf } from '../fleet/entry.ts'
import { wholeProcess, type ProcessFacts } from '../lib/whole-process.ts'
import type { AuditRow } from './entry.ts'
import type { LongLog } from './long-log.ts'

const LIBRARY = 'library'
const VERIFY = 'remex audit verify'
const LIST = 'remex audit list --json'
const LEAST_MB_PER_S = 200
const MOST_S = 2

/** Proves a log of many days, all of it. */
export const verifyRow: AuditRow = {
  id: 'verify',
  async open(stage) {
    const log = await stage.longLog()
    const megabytes = log.sizeBytes / 1e6
    const rate = (startMs: number): number => (megabytes / (performance.now() - startMs)) * 1000
    return lasting({
      id: 'verify',
      title: `Verify a log of ${megabytes.toFixed(0)} MB in ${log.files} files, in the page cache`,
      unit: 'MB/s',
      ...roundsOf(stage, { rounds: 5, warmUps: 1 }),
      ...judgedUnlessQuick(stage, { contender: [LIBRARY, VERIFY], of: 'value', atLeast: LEAST_MB_PER_S }),
      contenders: [
        { name: LIBRARY, run: async () => verifyByLibrary(log).then(rate) },
        { name: VERIFY, run: async () => verifyByCommand(log).then(rate) },
      ],
    })
  },
}

/** Resolves with when it began. */
async function verifyByLibrary({ directory, records }: LongLog): Promise<number> {
  const startMs = performance.now()
  const verdict = await verifyAudit(directory)
  if (!verdict.ok) throw new Error(verdict.message)
  if (verdict.count !== records) throw new Error(`${verdict.count} of ${records} records were verified`)
  return startMs
}

async function verifyByCommand(log: LongLog): Promise<number> {
  const startMs = performance.now()
  const { stdout } = await remexAudit(log, ['verify'])
  if (!stdout.includes(`${log.records} records`)) throw new Error(`${stdout.trim()}: there are ${log.records} records`)
  return startMs
}

/** Finds the records of one day among those of many. */
export const listRow: AuditRow = {
  id: 'list-day',
  async open(stage) {
    const log = await stage.longLog()
    return lasting({
      id: 'list-day',
      title: `${count(log.records)} records in ${log.files} files: list the ${count(log.ofTheDay)} of one day in the middle`,
      unit: 's',
      ...roundsOf(stage, { rounds: 5, warmUps: 1 }),
      ...judgedUnlessQuick(stage, { contender: LIST, of: 'value', atMost: MOST_S }),
      contenders: [{ name: LIST, run: () => listDay(log) }],
    })
  },
}

async function listDay(log: LongLog): Promise<number> {
  const { stdout, wallMs } = await remexAudit(log, ['list', '--since', log.since, '--until', log.until, '--json'])
  const listed = stdout.split('\n').length - 1
  if (listed !== log.ofTheDay) throw new Error(`${listed} records were listed, and ${log.ofTheDay} are of that day`)
  return wallMs / 1000
}

/** The built command line itself, as an installed `remex` is. */
function remexAudit({ configPath }: LongLog, words: readonly string[]): Promise<ProcessFacts> {
  return wholeProcess({ argv: [process.execPath, 'dist/cli.cjs', 'audit', ...words, '--config', configPath], keepStdout: true })
}

const count = (records: number): string => records.toLocaleString('en')
