import type { Direction as Way } from '../../testkit/network-conditions.ts'
import type { Random } from '../lib/random.ts'
import type { Direction } from './place.ts'

/** How a transfer is interrupted. */
export type CutKind = 'connection cut' | 'client killed' | 'server killed'

export const CUT_KINDS: readonly CutKind[] = ['connection cut', 'client killed', 'server killed']

/** A transfer that is to be interrupted. */
export interface CutPlan {
  readonly direction: Direction
  readonly kind: CutKind
  readonly sizeBytes: number
  /** Of what is under the final name before; null for nothing. */
  readonly oldSizeBytes: number | null
  /** Whether the first attempt asks to resume too; all others do. */
  readonly resumesAtOnce: boolean
  /** Whether it begins with a connection of its own. */
  readonly isFresh: boolean
}

/** When an attempt is interrupted: as soon as so many bytes have gone that way. */
export interface CutMoment {
  readonly way: Way
  readonly afterBytes: number
}

/** The largest size, in bytes. */
export const MOST_BYTES = 8_000_000
const FINE = 2 ** 30

/**
 * Half up, half down; of ten of each, one has its client killed, three the server, six the connection cut. A killed client
 * costs a new process each time.
 */
export function planOf(index: number, random: Random): CutPlan {
  const turn = (index >> 1) % 10
  return {
    direction: index % 2 === 0 ? 'up' : 'down',
    kind: turn === 0 ? 'client killed' : turn % 3 === 1 ? 'server killed' : 'connection cut',
    sizeBytes: sizeOf(random),
    oldSizeBytes: random.below(4) === 0 ? null : sizeOf(random),
    resumesAtOnce: random.below(2) === 0,
    isFresh: random.below(2) === 0,
  }
}

/** From 0 to {@link MOST_BYTES}, each order of magnitude as often as the others. */
export function sizeOf(random: Random): number {
  return Math.floor((MOST_BYTES + 1) ** (random.below(FINE) / FINE)) - 1
}

/** What a whole transfer sends each way, in bytes, as a straight line over the size of the file. */
export type TrafficModel = Readonly<Record<Direction, Readonly<Record<Way, { readonly base: number; readonly perByte: number }>>>>

/** Any byte of the transfer, in either direction. */
export function momentOf(model: TrafficModel, { direction, sizeBytes }: Pick<CutPlan, 'direction' | 'sizeBytes'>, random: Random): CutMoment {
  const way = random.below(2) === 0 ? 'toServer' : 'toClient'
  const { base, perByte } = model[direction][way]
  return { way, afterBytes: 1 + random.below(Math.max(1, Math.floor(base + perByte * sizeBytes))) }
}
