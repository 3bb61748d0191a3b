import type { Skipped } from '../../testkit/daemon.ts'
import type { Row } from '../harness.ts'
import { makeTree } from '../lib/sources.ts'
import type { Area, Workspace } from '../lib/workspace.ts'
import { missingProgram, type TransferEntry, type Wishes } from './entry.ts'
import { makeTransferPlace, moved, mover, type Direction, type TransferPlace } from './place.ts'

const SHAPE = { directories: 50, filesPerDirectory: 100, sizeBytes: 2048 }
const FILES = `${(SHAPE.directories * SHAPE.filesPerDirectory).toLocaleString('en')} files of 2 KiB`

interface TreeRow {
  readonly id: string
  readonly what: string
  readonly direction: Direction
  readonly peer: 'rsync -a' | 'scp -r'
  readonly atMost: number
  /** Where the files are. */
  readonly on: 'memory' | 'disk'
  /** Default of `--rounds`. */
  readonly rounds: number
}

const RSYNC = { peer: 'rsync -a', atMost: 1, on: 'memory', rounds: 9 } as const
const SCP = { peer: 'scp -r', atMost: 0.2, on: 'memory', rounds: 5 } as const

const ROWS: readonly TreeRow[] = [
  { id: 'tree-up', what: `${FILES} up`, direction: 'up', ...RSYNC },
  { id: 'tree-up-scp', what: `${FILES} up`, direction: 'up', ...SCP },
  { id: 'tree-down', what: `${FILES} down`, direction: 'down', ...RSYNC },
  { id: 'tree-down-scp', what: `${FILES} down`, direction: 'down', ...SCP },
  { id: 'tree-up-disk', what: `${FILES} up`, direction: 'up', ...RSYNC, on: 'disk' },
]

/** Many small files, all new. */
export const treeRows: readonly TransferEntry[] = ROWS.map((row) => ({ id: row.id, open: (space, wishes) => openNew(row, space, wishes) }))

/** Many small files, of which none has changed: each contender has a target of its own that it made itself. */
export const sameRow: TransferEntry = {
  id: 'tree-same',
  open: (space, wishes) => openSame({ id: 'tree-same', what: `${FILES} up, nothing changed`, direction: 'up', ...RSYNC }, space, wishes),
}

async function openNew(row: TreeRow, space: Workspace, wishes: Wishes): Promise<(Row & AsyncDisposable) | Skipped> {
  const { peer, direction } = row
  const missing = missingPeer(row)
  if (missing) return missing
  const { source, place } = await prepare(space[row.on])
  const contenders: Row['contenders'] = [
    mover(place, { name: peer, by: peer, direction, source }),
    mover(place, { name: nameOf(row), by: 'remex', direction, source, flags: flagsOf(row) }),
  ]
  return rowOf(row, { space, wishes, place, contenders })
}

async function openSame(row: TreeRow, space: Workspace, wishes: Wishes): Promise<(Row & AsyncDisposable) | Skipped> {
  const { peer, direction } = row
  const missing = missingPeer(row)
  if (missing) return missing
  const { source, place } = await prepare(space[row.on])
  const theirs = { direction, source, target: place.target(direction) }
  const ours = { direction, source, target: place.target(direction), flags: flagsOf(row) }
  // The warm-up makes the targets.
  const contenders: Row['contenders'] = [
    { name: peer, run: () => moved(place, peer, theirs) },
    { name: nameOf(row), run: () => moved(place, 'remex', ours) },
  ]
  return rowOf(row, { space, wishes, place, contenders })
}

function missingPeer({ peer }: TreeRow): Skipped | undefined {
  return peer === 'rsync -a' ? missingProgram('diff', 'rsync') : missingProgram('diff')
}

async function prepare(area: Area): Promise<{ source: string; place: TransferPlace }> {
  const source = await area.once('tree', (path) => makeTree(path, SHAPE))
  return { source, place: await makeTransferPlace(area) }
}

const nameOf = ({ direction }: TreeRow): string => `remex ${direction === 'up' ? 'put' : 'get'} --recursive`

/** `rsync -a` keeps modes and times, so Remex is to do so too; `scp -r` does not. */
const flagsOf = ({ peer }: TreeRow): readonly string[] => (peer === 'rsync -a' ? ['--recursive', '--preserve'] : ['--recursive'])

interface Prepared {
  readonly space: Workspace
  readonly wishes: Wishes
  readonly place: TransferPlace
  readonly contenders: Row['contenders']
}

function rowOf(row: TreeRow, { space, wishes, place, contenders }: Prepared): Row & AsyncDisposable {
  const where = space[row.on].isInMemory ? 'in memory, where fsync costs nothing' : 'on the disk'
  return {
    id: row.id,
    title: `${row.what}, against \`${row.peer}\` (${where})`,
    unit: 'ms',
    warmUps: 2,
    rounds: wishes.rounds ?? row.rounds,
    goal: { contender: nameOf(row), of: 'ratio', atMost: row.atMost },
    contenders,
    [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
  }
}
