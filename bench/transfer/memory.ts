import { tmpdir } from 'node:os'
import type { Skipped } from '../../testkit/daemon.ts'
import type { Contender, Row } from '../harness.ts'
import { makeSparseFile, makeTree } from '../lib/sources.ts'
import { wholeProcess } from '../lib/whole-process.ts'
import type { Area, Workspace } from '../lib/workspace.ts'
import { missingProgram, type TransferEntry, type Wishes } from './entry.ts'
import { makeTransferPlace, type Direction, type TransferPlace } from './place.ts'

interface MemoryRow {
  readonly id: string
  readonly title: string
  readonly area: Area
  readonly neededBytes: number
  readonly flags: readonly string[]
  readonly source: () => Promise<string>
}

const MOST_MB = 150
const NAMES: Readonly<Record<Direction, string>> = { up: 'remex put', down: 'remex get' }

/** What is moved must not be held: once each, because it is the peak that counts. */
export const memoryRows: readonly TransferEntry[] = [
  { id: 'memory-10g', open: (space, wishes) => open(largeFile(space, wishes)) },
  { id: 'memory-tree', open: (space, wishes) => open(largeTree(space, wishes)) },
]

function largeFile({ disk }: Workspace, { quick }: Wishes): MemoryRow {
  const sizeBytes = quick ? 1e9 : 10e9
  return {
    id: 'memory-10g',
    title: `A file of ${sizeBytes / 1e9} GB up and down: peak memory of the process`,
    area: disk,
    neededBytes: 2.5 * sizeBytes,
    flags: [],
    source: () => disk.once('sparse', (path) => makeSparseFile(path, sizeBytes)),
  }
}

function largeTree({ memory }: Workspace, { quick }: Wishes): MemoryRow {
  const shape = { directories: quick ? 100 : 1000, filesPerDirectory: 200, sizeBytes: 100 }
  const files = shape.directories * shape.filesPerDirectory
  return {
    id: 'memory-tree',
    title: `A tree of ${files.toLocaleString('en')} small files up and down: peak memory of the process`,
    area: memory,
    neededBytes: 3 * files * 8192,
    flags: ['--recursive'],
    source: () => memory.once('large-tree', (path) => makeTree(path, shape)),
  }
}

async function open({ id, title, area, neededBytes, flags, source }: MemoryRow): Promise<(Row & AsyncDisposable) | Skipped> {
  if ((await area.freeBytes()) < neededBytes) return { skipped: `${area.isInMemory ? 'the memory' : tmpdir()} has less than ${neededBytes / 1e9} GB free` }
  const missing = missingProgram('diff')
  if (missing) return missing
  const path = await source()
  const place = await makeTransferPlace(area)
  return {
    id,
    title,
    unit: 'MB',
    warmUps: 0,
    rounds: 1,
    goal: { contender: Object.values(NAMES), of: 'value', atMost: MOST_MB },
    contenders: [peakOf(place, { direction: 'up', source: path, flags }), peakOf(place, { direction: 'down', source: path, flags })],
    [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
  }
}

function peakOf(place: TransferPlace, move: { direction: Direction; source: string; flags: readonly string[] }): Contender {
  return {
    name: NAMES[move.direction],
    async run() {
      const target = place.target(move.direction)
      const { peakRssBytes } = await wholeProcess({ ...(await place.calls.remex({ ...move, target })), watchMemory: true })
      await wholeProcess({ argv: ['diff', '-rq', move.source, target] })
      return (peakRssBytes ?? Number.NaN) / 1e6
    },
  }
}
