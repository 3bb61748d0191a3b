import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Contender } from '../harness.ts'
import { wholeProcess, type ProcessCall } from '../lib/whole-process.ts'
import type { Area } from '../lib/workspace.ts'
import { makePlace, type Place, type PlaceOptions } from '../rows/place.ts'

/** Which way a row moves what it moves. */
export type Direction = 'up' | 'down'

/** A {@link Place} with directories for what is moved, and the calls of those who move it. */
export interface TransferPlace extends AsyncDisposable {
  /** A target that is not there yet, in a directory that the receiving side may write to. */
  target(direction: Direction): string
  /** Whole processes; `source` and `target` are paths, and which of them is on the host is what `direction` says. */
  readonly calls: Readonly<Record<Peer | 'remex', (move: Move) => Promise<ProcessCall>>>
}

/** The tools that Remex is compared with. */
export type Peer = 'scp' | 'sftp' | 'rsync -a' | 'scp -r'

/** What a call moves. */
export interface Move {
  readonly direction: Direction
  readonly source: string
  readonly target: string
  /** Of `remex put` and `get`. */
  readonly flags?: readonly string[]
}

/** Makes one whose files lie in `area`. */
export async function makeTransferPlace(area: Area, options: PlaceOptions = {}): Promise<TransferPlace> {
  const place = await makePlace(options)
  // The login is another user than ours, where we are root.
  const folders = { up: await area.directory(0o777), down: await area.directory() }
  let count = 0
  const copy = (program: 'scp', flags: readonly string[], move: Move): ProcessCall => ({ argv: [program, ...place.sshOptions, '-q', ...flags, ...ends(place, move)] })
  return {
    target: (direction) => join(folders[direction], `target-${++count}`),
    calls: {
      remex: async (move) => remexCall(place, move),
      scp: async (move) => copy('scp', [], move),
      'scp -r': async (move) => copy('scp', ['-r'], move),
      'rsync -a': async (move) => ({ argv: ['rsync', '-a', '-e', ['ssh', ...place.sshOptions].join(' '), ...ends(place, { ...move, source: `${move.source}/`, target: `${move.target}/` })] }),
      sftp: (move) => sftpCall(place, move),
    },
    [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
  }
}

/** Source and target as `scp` and `rsync` have them. */
function ends({ destination }: Place, { direction, source, target }: Move): readonly [string, string] {
  return direction === 'up' ? [source, `${destination}:${target}`] : [`${destination}:${source}`, target]
}

async function sftpCall(place: Place, { direction, source, target }: Move): Promise<ProcessCall> {
  const batch = join(place.folder, 'sftp-batch')
  await writeFile(batch, `${direction === 'up' ? 'put' : 'get'} ${source} ${target}\n`)
  return { argv: ['sftp', ...place.sshOptions, '-q', '-b', batch, place.destination] }
}

/** The built command line itself, as an installed `remex` is. */
function remexCall({ configPath, folder }: Place, { direction, source, target, flags = [] }: Move): ProcessCall {
  const argv = [process.execPath, 'dist/cli.cjs', direction === 'up' ? 'put' : 'get', 'vm01', source, target, '--quiet', '--config', configPath, ...flags] as const
  return { argv: [...argv], env: { ...process.env, REMEX_STATE_DIR: join(folder, 'state') } }
}

/** A contender that moves `source` to a new target each time. What arrived is compared, outside of the time. */
export function mover(place: TransferPlace, how: { name: string; by: Peer | 'remex' } & Omit<Move, 'target'>): Contender {
  const { name, by, ...move } = how
  return { name, run: () => moved(place, by, { ...move, target: place.target(move.direction) }) }
}

/** Moves it and resolves with the time of the whole process, in ms. Rejects when the target is not what the source is. */
export async function moved({ calls }: Pick<TransferPlace, 'calls'>, by: Peer | 'remex', move: Move): Promise<number> {
  await settle(move.target)
  const { wallMs } = await wholeProcess(await calls[by](move))
  await assertSame(move)
  return wallMs
}

/** What was written before, and waits for the disk, is not to burden the next one. */
export async function settle(target: string): Promise<void> {
  await wholeProcess({ argv: ['sync', '-f', join(target, '..')] })
}

async function assertSame({ source, target }: Move): Promise<void> {
  await wholeProcess({ argv: ['diff', '-rq', source, target] })
}
