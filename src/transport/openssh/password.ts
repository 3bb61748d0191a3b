import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { open, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { Secret } from '../../core/secret.ts'

/** Questions beyond the first get no answer. More of them than this would wait for one, until the attempt's time is over. */
const MOST_QUESTIONS = 16

/** What ssh runs to ask for a password. It is given nothing secret: it reads a line of the pipe beside it. */
const ASKING = '#!/bin/sh\nIFS= read -r answer < "$0.in" && printf \'%s\\n\' "$answer"\n'

/** A password that waits to be asked for, by the one ssh that is told of it. */
export interface WaitingPassword {
  /** For the environment of ssh. Source: ssh(1), SSH_ASKPASS. */
  readonly env: Readonly<Record<string, string>>
  /** Nobody is to hear it any more. */
  close(): Promise<void>
}

/**
 * Lets ssh ask for `secret` by a small program at `path`, which is not there yet, in a directory that is ours alone. The secret passes
 * through a pipe and is in no file, argument or environment. It goes to the first question alone: a second one is not about it, or says
 * that it was wrong. Rejects where the pipe cannot be made, by the `mkfifo` that the `PATH` of `env` finds.
 */
export async function awaitQuestion(path: string, secret: Secret, env: Pick<NodeJS.ProcessEnv, string>): Promise<WaitingPassword> {
  await writeFile(path, ASKING, { mode: 0o700 })
  await promisify(execFile)('mkfifo', ['-m', '600', `${path}.in`], { env: { PATH: env['PATH'], LC_ALL: 'C' } })
  // With both ends in one hand nobody waits for the other: the line stays in the pipe until it is read.
  const pipe = await open(`${path}.in`, constants.O_RDWR | constants.O_NONBLOCK)
  await pipe.write(`${secret.reveal()}${'\n'.repeat(MOST_QUESTIONS)}`)
  // Older ones ask by a program only where there is a display.
  return { env: { SSH_ASKPASS: path, SSH_ASKPASS_REQUIRE: 'force', DISPLAY: 'none:0' }, close: () => pipe.close() }
}
