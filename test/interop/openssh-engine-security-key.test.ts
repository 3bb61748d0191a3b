import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Remex } from '../../src/remex.ts'
import type { OpensshServer } from '../../testkit/openssh-server.ts'
import { startSecurityKeyAgent, type SecurityKeyAgent } from '../../testkit/security-key.ts'
import { failureOf } from '../failure-of.ts'
import { fleetOf, type TestFleet } from './fleet-of.ts'
import { acceptedLogins, directoryOn, skipReason, startSshd } from './openssh-here.ts'

const reason = skipReason('ssh', 'sshd')

describe.skipIf(reason !== '')(`a security key${reason}`, () => {
  let agent: SecurityKeyAgent
  let server: OpensshServer
  let fleet: TestFleet
  beforeAll(async () => {
    agent = await startSecurityKeyAgent()
    server = await startSshd({ authorizedKeys: [agent.publicKey] })
    fleet = await fleetOf({ vm01: server })
  })
  afterAll(async () => {
    await fleet[Symbol.asyncDispose]()
    await server.close()
    await agent.close()
  })

  /** A Remex that is given the public half of the key in `identity_file`, and the agent at this socket. */
  async function remexWith({ publicKey, socketPath }: SecurityKeyAgent, trust: { readonly host_key?: string; readonly known_hosts_path?: string } = {}): Promise<Remex> {
    const path = join(fleet.folder, `security-${Buffer.from(socketPath).toString('hex')}.pub`)
    await writeFile(path, `${publicKey}\n`)
    const { host_key, known_hosts_path = join(fleet.folder, 'known_hosts') } = trust
    const vm01 = { ip: server.address, ssh_port: server.port, ssh_user: server.login, identity_file: path, ...(host_key && { host_key }) }
    const settings = { known_hosts_path, audit_log_path: fleet.auditPath, default_retry: 1 }
    return Remex.open({ config: { vms: { vm01 }, remote_execution: settings }, user: 'tester', env: { PATH: process.env.PATH, SSH_AUTH_SOCK: socketPath, REMEX_STATE_DIR: join(fleet.folder, 'state') } })
  }

  it('logs in by the openssh engine, which auto takes for it', async () => {
    await using remex = await remexWith(agent)
    expect(await remex.check('vm01')).toMatchObject({ engine: 'openssh', engineReason: 'auto: a security key' })
    expect(await remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n', engine: 'openssh' })
    expect((await acceptedLogins(server)).at(-1)).toContain('ED25519-SK')
  })

  it('is touched once for each login, however much is run on it', async () => {
    const before = agent.touched
    await using remex = await remexWith(agent)
    const host = remex.host('vm01')
    for (const word of ['one', 'two', 'three']) expect(await host.run(['echo', word])).toMatchObject({ stdout: `${word}\n` })
    await using there = await directoryOn(host)
    await host.put('/proc/version', `${there.path}/version`)
    expect(agent.touched - before).toBe(1)
    await using other = await remexWith(agent)
    await other.host('vm01').run('true')
    expect(agent.touched - before).toBe(2)
  })

  it('is touched once where the host’s key is pinned by its fingerprint, and has to be learnt first', async () => {
    const before = agent.touched
    await using remex = await remexWith(agent, { host_key: server.hostKeys[0]?.fingerprint ?? '', known_hosts_path: join(fleet.folder, 'none') })
    expect(await remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n' })
    expect(agent.touched - before).toBe(1)
  })

  it('is not touched for a host that does not know it, or that we do not know', async () => {
    await using stranger = await startSecurityKeyAgent()
    await using refused = await remexWith(stranger)
    expect(await failureOf(refused.host('vm01').run('true'))).toMatchObject({ code: 'AUTH_FAILED', message: expect.stringContaining('sk-ssh-ed25519@openssh.com') })
    expect(stranger.touched).toBe(0)
    const before = agent.touched
    await using wary = await remexWith(agent, { host_key: `SHA256:${'A'.repeat(43)}` })
    expect(await failureOf(wary.host('vm01').run('true'))).toMatchObject({ code: 'HOST_KEY_CHANGED' })
    expect(agent.touched).toBe(before)
  })

  it('is said to be without its agent where none is there', async () => {
    await using away = await startSecurityKeyAgent()
    await using remex = await remexWith(away)
    await away.close()
    expect(await failureOf(remex.host('vm01').run('true'))).toMatchObject({ code: 'KEY_UNUSABLE', message: expect.stringContaining('ssh-agent') })
  })
})
