import { remexError, type RemexError } from '../../src/core/errors.ts'
import type { Door } from '../../src/cli/door.ts'
import { Interruption } from '../../src/cli/interruption.ts'
import { passphraseAsker } from '../../src/cli/passphrase.ts'
import { passwordAsker } from '../../src/cli/password.ts'
import { Sink } from '../../src/cli/sink.ts'
import { Turns } from '../../src/cli/turns.ts'

/** A program that wants a password twice, and with `--passphrase` two passphrases of keys too, all at once; prints what it got. */
async function main(words: readonly string[]): Promise<number> {
  const stop = new Interruption(() => undefined)
  stop.listen()
  const globals = { config: undefined, user: undefined, json: false, quiet: false, verbose: false, color: false }
  const door: Door = { globals, stdout: new Sink(process.stdout, () => undefined), stderr: new Sink(process.stderr, () => undefined), stop, turns: new Turns(), env: process.env, words: undefined }
  const password = passwordAsker(door, { fromStdin: words.includes('--password-stdin'), question: process.env['QUESTION'] ?? 'Password of tester' })
  const passphrase = words.includes('--passphrase') ? passphraseAsker(door) : undefined
  const wanted = [password(), ...(passphrase ? [passphrase('a'), passphrase('b'), passphrase('a')] : []), password()]
  try {
    const answers = await Promise.all(wanted)
    // Not as they are: the test looks whether they were shown.
    await door.stdout.line(JSON.stringify(answers.map((answer) => Buffer.from(answer.reveal()).toString('hex'))))
    return 0
  } catch (error) {
    await door.stdout.line(JSON.stringify(known(error)))
    return stop.status ?? 125
  }
}

function known(error: unknown): RemexError {
  return error instanceof Error && 'code' in error ? (error as RemexError) : remexError('INTERNAL', String(error))
}

void main(process.argv.slice(2)).then((status) => process.exit(status))
