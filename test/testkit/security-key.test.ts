import { execFile } from 'node:child_process'
import { access } from 'node:fs/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sshString, uint32 } from '../../src/core/ssh-wire.ts'
import { AgentClient } from '../../src/transport/openssh/agent-client.ts'
import { AgentMessage, encodeMessage } from '../../src/transport/openssh/agent-protocol.ts'
import { findProgram } from '../../testkit/daemon.ts'
import { startOpensshServer, startSecurityKeyAgent, type OpensshServer, type SecurityKeyAgent, type Skipped } from '../../testkit/index.ts'

const run = promisify(execFile)

let agent: SecurityKeyAgent
let server: OpensshServer | Skipped

beforeAll(async () => {
  agent = await startSecurityKeyAgent()
  server = await startOpensshServer({ authorizedKeys: [agent.publicKey] })
})

afterAll(async () => {
  await agent.close()
  if (!('skipped' in server)) await server.close()
})

function ssh(to: OpensshServer, by: SecurityKeyAgent): Promise<{ stdout: string }> {
  const options = [`IdentityAgent=${by.socketPath}`, 'IdentityFile=none', `UserKnownHostsFile=${to.knownHostsPath}`, 'BatchMode=yes']
  return run('ssh', ['-F', 'none', ...options.flatMap((option) => ['-o', option]), '-p', String(to.port), `${to.login}@${to.address}`, 'echo hello'])
}

describe.skipIf(!findProgram('ssh'))('startSecurityKeyAgent', () => {
  test('has one key, which ssh-add knows as a security key', async () => {
    const { stdout } = await run('ssh-add', ['-L'], { env: { ...process.env, SSH_AUTH_SOCK: agent.socketPath } })
    expect(stdout.trim()).toBe(agent.publicKey)
    const { stdout: list } = await run('ssh-add', ['-l'], { env: { ...process.env, SSH_AUTH_SOCK: agent.socketPath } })
    expect(list).toMatch(/^256 SHA256:\S+ security key \(ED25519-SK\)$/m)
  })

  test('lets a real ssh log in to a real sshd, with one touch for each login', async (context) => {
    if ('skipped' in server) return context.skip(server.skipped)
    const before = agent.touched
    expect((await ssh(server, agent)).stdout).toBe('hello\n')
    expect((await ssh(server, agent)).stdout).toBe('hello\n')
    expect(agent.touched - before).toBe(2)
    expect(await server.log()).toContain('ED25519-SK')
  })

  test('has a key of its own each time, which opens nothing that it is not authorized for', async (context) => {
    if ('skipped' in server) return context.skip(server.skipped)
    await using stranger = await startSecurityKeyAgent()
    await expect(ssh(server, stranger)).rejects.toThrow(/Permission denied/)
    expect(stranger.touched).toBe(0)
  })
})

test('a security key signs nothing for another key, and is not touched for it', async () => {
  const client = new AgentClient(agent.socketPath)
  const before = agent.touched
  const answer = await client.ask(encodeMessage(AgentMessage.SIGN_REQUEST, sshString('another key'), sshString('data'), uint32(0)))
  client.close()
  expect(answer).toEqual(encodeMessage(AgentMessage.FAILURE))
  expect(agent.touched).toBe(before)
})

test('a security key is gone with its socket when it is closed, as often as that is asked', async () => {
  const own = await startSecurityKeyAgent()
  await Promise.all([own.close(), own.close()])
  await expect(access(own.socketPath)).rejects.toThrow(/ENOENT/)
})
