import { remexError, type RemexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'

/** `KEY_NOT_FOUND`: a target has no identities. */
export function noKey(vmId: string): RemexError {
  return remexError('KEY_NOT_FOUND', `${printable(vmId)}: there is no key to log in with`, { vmId })
}

/** `KEY_UNUSABLE` with the host's id before the message. */
export function keyUnusable(vmId: string, message: string, hint: string): RemexError {
  return remexError('KEY_UNUSABLE', `${printable(vmId)}: ${message}`, { vmId, hint })
}

/** `KEY_UNUSABLE`: nothing at all can be offered; `notes` say why. */
export function nothingToOffer(vmId: string, notes: readonly string[]): RemexError {
  return keyUnusable(vmId, notes.join('; '), 'Start the agent and add a key (ssh-add), or set identity_file.')
}

/** What an agent's key is called in messages; its comment comes from the agent, so it is cut and made printable. */
export function agentKeyLabel(comment: string): string {
  return `agent key ${printable(comment.slice(0, 100) || 'without a name')}`
}

/** Note on an agent that cannot be asked. */
export function agentUnusableNote(socketPath: string, error: unknown): string {
  const reason = error instanceof Error ? printable(error.message) : 'unknown'
  return `the agent at ${printable(socketPath)} cannot be used (${reason})`
}

/** Notes on the keys of an agent: how many it has that must not be used, and whether any is left. */
export function agentKeyNotes(count: { readonly refused: number; readonly usable: number }): string[] {
  return [
    ...(count.refused > 0 ? [`keys of the agent that are too weak or of a type that is not allowed: ${count.refused}`] : []),
    ...(count.usable === 0 ? ['the agent has no key that can be used, or not the one that identity_file names'] : []),
  ]
}

/** Note on keys that are more than a server would let us try. */
export function tooManyNote(room: number, count: number): string {
  return `only the first ${room} of ${count} were tried`
}
