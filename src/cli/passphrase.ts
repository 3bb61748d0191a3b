import type { Secret } from '../core/secret.ts'
import type { Door } from './door.ts'
import { askHidden, canAsk } from './prompt.ts'

/** Asks for the passphrase of a key file, given by its path. */
export type AskPassphrase = (label: string) => Promise<Secret>

/** Asks on the terminal, each key once; undefined where standard input or standard error are no terminals. */
export function passphraseAsker(door: Door): AskPassphrase | undefined {
  if (!canAsk(door)) return undefined
  const answers = new Map<string, Promise<Secret>>()
  return (label) => {
    const answer = answers.get(label) ?? askHidden(door, `Passphrase of ${label}`)
    answers.set(label, answer)
    return answer
  }
}
