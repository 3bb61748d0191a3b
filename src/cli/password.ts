import type { Readable } from 'node:stream'
import { unlessAborted } from '../core/abort.ts'
import { remexError } from '../core/errors.ts'
import { Secret } from '../core/secret.ts'
import type { Door } from './door.ts'
import { askHidden, canAsk } from './prompt.ts'

/** Far longer than a server takes. */
const LONGEST_BYTES = 4096

/** Where a password comes from. */
export interface PasswordSource {
  /** Whether it is the first line of standard input: `--password-stdin`. */
  readonly fromStdin: boolean
  /** What is asked on the terminal: `Password of operator on vm01`. */
  readonly question: string
}

/**
 * Gives the password, which is read or asked for at the first call and the same for all. Rejects with `USAGE` where it is
 * missing, empty or too long, or where there is no terminal to ask on; with `CANCELLED` as `askHidden` does.
 */
export function passwordAsker(door: Door, source: PasswordSource): () => Promise<Secret> {
  let password: Promise<Secret> | undefined
  return () => (password ??= readPassword(door, source))
}

async function readPassword(door: Door, { fromStdin, question }: PasswordSource): Promise<Secret> {
  if (fromStdin) {
    if (process.stdin.isTTY) throw remexError('USAGE', '--password-stdin: standard input is a terminal, which would show the password', { hint: 'Leave --password-stdin away to be asked for it, or pipe it in.' })
    return unlessAborted(passwordLine(process.stdin), door.stop.signal, 'reading the password')
  }
  if (!canAsk(door)) throw remexError('USAGE', 'the password is asked for on a terminal, and there is none', { hint: 'Give it on standard input, with --password-stdin.' })
  const password = await askHidden(door, question)
  if (password.reveal() === '') throw remexError('USAGE', 'the password is empty')
  return password
}

/** The first line of `input`, without its newline; what follows is not read. Rejects with `USAGE` as {@link passwordAsker} does. */
export async function passwordLine(input: Readable): Promise<Secret> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of input as AsyncIterable<Buffer>) {
    const at = chunk.indexOf('\n')
    chunks.push(at === -1 ? chunk : chunk.subarray(0, at))
    sizeBytes += at === -1 ? chunk.length : at
    if (at !== -1 || sizeBytes > LONGEST_BYTES) break
  }
  if (sizeBytes === 0) throw remexError('USAGE', 'standard input has no password in its first line', { hint: 'Pipe it in, for instance: remex keys setup vm01 --password-stdin < file' })
  if (sizeBytes > LONGEST_BYTES) throw remexError('USAGE', `the first line of standard input is longer than ${LONGEST_BYTES} bytes; that is no password`)
  return new Secret(textOf(Buffer.concat(chunks)))
}

function textOf(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    // Without the cause, which need not say what it could not decode.
    throw remexError('USAGE', 'the password on standard input is not UTF-8')
  }
}
