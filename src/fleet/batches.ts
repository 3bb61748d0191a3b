import { inspect } from 'node:util'
import { remexError } from '../core/errors.ts'

/** So many hosts, or a share of all that are selected: `5`, `'10%'`. */
export type HostCount = number | `${number}%`

/** In which portions the hosts have their turn, and how many of them may fail. */
export interface BatchOptions {
  /** Hosts at a time: the next so many have their turn when those before are done. A share is rounded up. Default: all. */
  readonly batch?: HostCount | undefined
  /** The first so many are a batch of their own, of which none may fail. Default: none. */
  readonly canary?: number | undefined
  /** Once more than so many have failed, no other host is tried. A share is rounded down. Default: 0 with `batch`, else no limit. */
  readonly maxFailures?: HostCount | undefined
}

/** Hosts that have their turn together. */
export interface Batch {
  readonly ids: readonly string[]
  readonly canary: boolean
  /** More failures than this, of all hosts so far, and nothing else is started. `Infinity`: no limit. */
  readonly mostFailures: number
}

/** Every host in exactly one batch, in order. Throws `USAGE` for a number that is none. */
export function planBatches(ids: readonly string[], { batch, canary = 0, maxFailures }: BatchOptions): readonly Batch[] {
  if (!Number.isSafeInteger(canary) || canary < 0) throw remexError('USAGE', `canary: ${inspect(canary)} is not a whole number of hosts`)
  const size = batch === undefined ? ids.length : Math.max(1, Math.ceil(hostsOf('batch', batch, ids.length)))
  const mostFailures = maxFailures === undefined ? (batch === undefined ? Infinity : 0) : Math.floor(hostsOf('maxFailures', maxFailures, ids.length))
  const batches: Batch[] = canary > 0 ? [{ ids: ids.slice(0, canary), canary: true, mostFailures: 0 }] : []
  for (let from = canary; from < ids.length; from += size) batches.push({ ids: ids.slice(from, from + size), canary: false, mostFailures })
  return batches
}

/** `count` of `all` hosts, before rounding. Throws `USAGE` naming `what`. */
function hostsOf(what: 'batch' | 'maxFailures', count: HostCount, all: number): number {
  const least = what === 'batch' ? 1 : 0
  if (typeof count === 'number' && Number.isSafeInteger(count) && count >= least) return count
  const [, digits] = typeof count === 'string' ? (/^(\d{1,3})%$/.exec(count) ?? []) : []
  const percent = Number(digits ?? Number.NaN)
  // Multiplied first: 10 % of 50 is then 5 exactly.
  if (percent >= least && percent <= 100) return (percent * all) / 100
  throw remexError('USAGE', `${what}: ${inspect(count, { maxStringLength: 40, depth: 0 })} is not a number of hosts`, {
    hint: `A whole number of at least ${least}, or a share such as 10%.`,
  })
}
