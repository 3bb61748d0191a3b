import { readdirSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openAudit, type AuditLog, type BeginFields, type FinishFields } from '../../src/audit/log.ts'
import { systemClock } from '../../src/core/clock.ts'
import { until } from '../../testkit/until.ts'

/** What most tests record. */
export const BEGIN: BeginFields = {
  run_id: 'run-1',
  user_id: 'alice',
  vm_id: 'vm01',
  address: '10.0.0.10',
  login: 'thadmin',
  operation: 'run',
  command: 'echo hello',
  env_names: ['LANG'],
}

/** How most tests end it. */
export const FINISH: FinishFields = {
  status: 'success',
  ended: 'exited',
  exit_code: 0,
  error_code: null,
  execution_time: 0.043,
  attempts: 1,
  engine: 'ssh2',
  kex: 'curve25519-sha256',
  cipher: 'aes256-gcm@openssh.com',
  host_key: 'SHA256:abc',
  stdout_bytes: 6,
  stderr_bytes: 0,
  killed: { ended: 4, survivors: [], scope: 'tree' },
}

/** A directory of its own for a log, with ways to look at it and to tamper with it. */
export interface LogDirectory {
  readonly directory: string
  readonly log: string
  readonly head: string
  readonly publicKey: string
  readonly signingKey: string
  open(): Promise<AuditLog>
  /** Records `count` operations one after the other: two records each. */
  fill(count: number): Promise<void>
  text(): Promise<string>
  /** The lines, without their newlines. */
  lines(): Promise<string[]>
  /** Replaces the log by these lines. */
  write(lines: readonly string[]): Promise<void>
  /** The records as `JSON.parse` gives them. */
  records(): Promise<Record<string, unknown>[]>
  /** Waits until no writer holds the lock. */
  free(): Promise<void>
  remove(): Promise<void>
}

/** Makes a {@link LogDirectory}; the log's own directory is not there yet. */
export async function logDirectory(): Promise<LogDirectory> {
  const parent = await mkdtemp(join(tmpdir(), 'remex-audit-'))
  const directory = join(parent, 'state', 'audit')
  const log = join(directory, 'audit.jsonl')
  const text = (): Promise<string> => readFile(log, 'utf8')
  const lines = async (): Promise<string[]> => (await text()).split('\n').slice(0, -1)
  const open = (): Promise<AuditLog> => openAudit({ directory, clock: systemClock })
  return {
    directory,
    log,
    head: join(directory, 'head.json'),
    publicKey: join(directory, 'signing.pub'),
    signingKey: join(directory, 'signing.key'),
    open,
    text,
    lines,
    async fill(count) {
      const audit = await open()
      for (let run = 0; run < count; run++) await audit.finish(await audit.begin({ ...BEGIN, run_id: `run-${run}` }), FINISH)
      await audit.close()
    },
    write: (all) => writeFile(log, all.map((line) => `${line}\n`).join('')),
    records: async () => (await lines()).map((line): Record<string, unknown> => JSON.parse(line)),
    async free() {
      await until(() => !readdirSync(directory).includes('audit.lock'), { what: 'the lock to be free' })
    },
    remove: () => rm(parent, { recursive: true }),
  }
}
