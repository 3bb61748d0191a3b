import { inspect } from 'node:util'
import { remexError } from '../core/errors.ts'

/** Where the permission bits of a result may come from. */
export interface ModeSources {
  /** What the caller asked for. */
  readonly given: number | undefined
  /** `st_mode` of the file that is replaced. */
  readonly existing: number | undefined
  /** Permission bits of the source. */
  readonly source: number | undefined
}

/** How a file gets its permission bits. */
export interface ModePlan {
  /** To create the temporary file with: never more open than the result, and writable for its owner. */
  readonly createMode: number
  /** The bits of the result where they depend on nothing else. */
  readonly fixedMode: number | undefined
  /** The bits of the result, given those that the temporary file was created with, which the umask has passed. */
  finalMode(createdMode: number): number
}

const OWNER_READ_WRITE = 0o600

/**
 * As scp and cp: the mode that is given; else that of the file which is replaced; else that of the source less the umask
 * of the receiving side; 0600 where the source has none. Bits for set-user-id and the like come only from `given`.
 * Throws `USAGE` when `given` is not 0 to 0o7777.
 */
export function planMode({ given, existing, source }: ModeSources): ModePlan {
  if (given !== undefined && !(Number.isInteger(given) && given >= 0 && given <= 0o7777)) {
    throw remexError('USAGE', `mode: ${inspect(given)} is not a number from 0 to 0o7777`, { hint: 'A mode is written in octal: 0640.' })
  }
  const fixedMode = given ?? (existing === undefined ? undefined : existing & 0o777)
  if (fixedMode !== undefined) return { createMode: OWNER_READ_WRITE, fixedMode, finalMode: () => fixedMode }
  const wanted = (source ?? OWNER_READ_WRITE) & 0o777
  return { createMode: wanted | OWNER_READ_WRITE, fixedMode, finalMode: (createdMode) => createdMode & wanted }
}
