import { expect } from 'vitest'
import { RemexError } from '../src/core/errors.ts'

/** What the work failed with; that it failed, and with an error of ours, is expected. */
export async function failureOf(work: Promise<unknown>): Promise<RemexError> {
  const outcome: unknown = await work.catch((error: unknown) => error)
  expect(outcome).toBeInstanceOf(RemexError)
  return outcome as RemexError
}
