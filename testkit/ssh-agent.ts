import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findProgram, type Skipped } from './daemon.ts'
import type { KeyPair } from './keys.ts'
import { once as onlyOnce } from './ssh-server.ts'
import { until } from './until.ts'

const run = promisify(execFile)

/** A real ssh-agent. */
export interface TestAgent extends AsyncDisposable {
  /** For `SSH_AUTH_SOCK`. */
  readonly socketPath: string
  /** Ends it. Its socket goes with it. Safe to repeat. */
  close(): Promise<void>
}

/** Starts the machine's own ssh-agent with these keys, and with more in its environment. Gives the reason where it is not installed. */
export async function startAgent(keys: readonly KeyPair[], more: Readonly<Record<string, string>> = {}): Promise<TestAgent | Skipped> {
  if (findProgram('ssh-agent') === undefined) return { skipped: 'ssh-agent is not installed (Debian: openssh-client)' }
  const directory = await mkdtemp(join(tmpdir(), 'remex-agent-'))
  const socketPath = join(directory, 'agent.sock')
  const agent = spawn('ssh-agent', ['-D', '-a', socketPath], { stdio: 'ignore', env: { ...process.env, ...more } })
  const env = { ...process.env, SSH_AUTH_SOCK: socketPath }
  const close = onlyOnce(async () => {
    const ended = once(agent, 'exit')
    agent.kill()
    await ended
    await rm(directory, { recursive: true, force: true })
  })
  // 1 is an agent without keys, 2 is none.
  await until(() => run('ssh-add', ['-l'], { env }).then(() => true, (error: unknown) => Reflect.get(Object(error), 'code') === 1), { what: 'ssh-agent' })
  for (const [index, { privateKey }] of keys.entries()) {
    const path = join(directory, `key${index}`)
    await writeFile(path, privateKey, { mode: 0o600 })
    await run('ssh-add', ['-q', path], { env })
  }
  return { socketPath, close, [Symbol.asyncDispose]: close }
}
