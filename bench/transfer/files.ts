import type { Row } from '../harness.ts'
import { makeFile } from '../lib/sources.ts'
import type { Skipped } from '../../testkit/daemon.ts'
import type { Workspace } from '../lib/workspace.ts'
import { missingProgram, type TransferEntry, type Wishes } from './entry.ts'
import { makeTransferPlace, mover, type Direction, type Peer } from './place.ts'

interface FileRow {
  readonly id: string
  readonly title: string
  readonly direction: Direction
  readonly peer: Peer
  readonly sizeBytes: number
  readonly atMost: number
  readonly latencyMs?: number
  /** Default of `--rounds`. */
  readonly rounds: number
}

const LARGE = { sizeBytes: 256_000_000, atMost: 0.9, rounds: 9 }
const LAG = { latencyMs: 25, sizeBytes: 64_000_000, atMost: 0.6, rounds: 7, peer: 'sftp' } as const
const WINDOW = 'window is 2 MiB a channel and fixed, so Remex uses several channels'

const ROWS: readonly FileRow[] = [
  { id: 'up-256', title: 'A file of 256 MB up, against `scp`', direction: 'up', peer: 'scp', ...LARGE },
  { id: 'down-256', title: 'A file of 256 MB down, against `sftp`', direction: 'down', peer: 'sftp', ...LARGE },
  { id: 'lag-up', title: `A file of 64 MB up at 50 ms round trip, against \`sftp\` (the server’s ${WINDOW})`, direction: 'up', ...LAG },
  { id: 'lag-down', title: `A file of 64 MB down at 50 ms round trip, against \`sftp\` (the ssh2 engine’s ${WINDOW})`, direction: 'down', ...LAG },
]

/** One large file, on the disk: over loopback, and over a way of 50 ms. */
export const fileRows: readonly TransferEntry[] = ROWS.map((row) => ({ id: row.id, open: (space, wishes) => open(row, space, wishes) }))

const WARM_UPS = 1

async function open(row: FileRow, { disk }: Workspace, wishes: Wishes): Promise<(Row & AsyncDisposable) | Skipped> {
  const { id, title, direction, peer, sizeBytes, atMost, latencyMs } = row
  const rounds = wishes.rounds ?? row.rounds
  const neededBytes = sizeBytes * (1 + 2 * (WARM_UPS + rounds))
  if ((await disk.freeBytes()) < 2 * neededBytes) return { skipped: `the disk has less than ${(neededBytes * 2) / 1e9} GB free` }
  const missing = missingProgram('diff')
  if (missing) return missing
  const source = await disk.once(`file-${sizeBytes}`, (path) => makeFile(path, sizeBytes))
  const place = await makeTransferPlace(disk, latencyMs === undefined ? {} : { latencyMs })
  const remex = direction === 'up' ? 'remex put' : 'remex get'
  return {
    id,
    title,
    unit: 'ms',
    warmUps: WARM_UPS,
    rounds,
    goal: { contender: remex, of: 'ratio', atMost },
    contenders: [mover(place, { name: peer, by: peer, direction, source }), mover(place, { name: remex, by: 'remex', direction, source })],
    [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
  }
}
