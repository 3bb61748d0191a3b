import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Appender } from '../../src/audit/append/appender.ts'
import { draft } from '../../src/audit/draft.ts'
import { auditFiles } from '../../src/audit/files.ts'
import { readLines } from '../../src/audit/line-reader.ts'
import { lineHeader } from '../../src/audit/line.ts'
import { KEEP_LIMITS } from '../../src/audit/log.ts'
import type { Draft } from '../../src/audit/record.ts'
import type { KeepingLimits } from '../../src/audit/append/rotation.ts'
import { Segments } from '../../src/audit/segments.ts'
import { systemClock } from '../../src/core/clock.ts'
import { begun, ENDED } from './operation.ts'

/** A log of many days. */
export interface LongLog {
  readonly directory: string
  /** Of a Remex whose log it is. */
  readonly configPath: string
  readonly records: number
  readonly files: number
  readonly sizeBytes: number
  /** A day in its middle, and how many records are of it. */
  readonly since: string
  readonly until: string
  readonly ofTheDay: number
}

/** How long it is to be. */
export interface LongLogShape {
  readonly operations: number
  readonly days: number
  /** Default: those that Remex has by itself, a file a day. */
  readonly limits?: KeepingLimits
}

const DAY_MS = 86_400_000
const FIRST_DAY = Date.parse('2026-01-01T00:00:00.000Z')
const OPERATIONS_AT_ONCE = 500

/**
 * Makes one in `folder` by what writes every log: the clock is of another time, and nobody waits for the disk. A million
 * records take half a minute.
 */
export async function makeLongLog(folder: string, { operations, days, limits = KEEP_LIMITS }: LongLogShape): Promise<LongLog> {
  const directory = join(folder, 'audit')
  await fill(directory, { operations, days, limits })
  const day = Math.floor(days / 2)
  const [since, until] = [day, day + 1].map((after) => new Date(FIRST_DAY + after * DAY_MS).toISOString()) as [string, string]
  const configPath = join(folder, 'config.json')
  await writeFile(configPath, JSON.stringify({ vms: { vm001: { ip: '127.0.0.1' } }, remote_execution: { audit_log_path: directory } }))
  return { directory, configPath, since, until, ...(await measured(directory, { since, until })) }
}

async function fill(directory: string, { operations, days, limits }: Required<LongLogShape>): Promise<void> {
  const timeOf = (operation: number): number => FIRST_DAY + Math.floor((operation / operations) * days * DAY_MS)
  let next = 0
  const appender = new Appender(auditFiles(directory), { clock: { ...systemClock, now: () => timeOf(next) }, limits })
  const take = (): readonly Draft[] => {
    const drafts: Draft[] = []
    for (const end = Math.min(operations, next + OPERATIONS_AT_ONCE); next < end; next++) drafts.push(...recordsOf(next, new Date(timeOf(next)).toISOString()))
    return drafts
  }
  await appender.append({ take: () => ({ drafts: take(), durable: false }), written: () => undefined, more: () => Promise.resolve(next < operations) })
  await appender.close()
}

function recordsOf(number: number, time: string): readonly Draft[] {
  const begin = draft('begin', time, { ...begun(number), op_id: `op-${number}`, os_user: 'operator', pid: process.pid })
  return [begin, { ...draft('finish', time, ENDED), ...begin, event: 'finish' }]
}

/** Reads it through, by nothing that is measured. */
async function measured(directory: string, { since, until }: { since: string; until: string }): Promise<Pick<LongLog, 'records' | 'files' | 'sizeBytes' | 'ofTheDay'>> {
  await using segments = await Segments.of(directory)
  let [records, sizeBytes, ofTheDay] = [0, 0, 0]
  for (const segment of segments.list) {
    const file = await segments.open(segment)
    if (!file) throw new Error(`${segment.name} is gone`)
    sizeBytes += (await stat(segment.path)).size
    for await (const lines of readLines(file)) {
      records += lines.length
      ofTheDay += lines.filter(({ bytes }) => isBetween(lineHeader(bytes)?.time ?? '', since, until)).length
    }
  }
  return { records, files: segments.list.length, sizeBytes, ofTheDay }
}

const isBetween = (time: string, since: string, until: string): boolean => time >= since && time < until
