import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { OpensshServer } from '../../testkit/openssh-server.ts'
import { startAgent, type TestAgent } from '../../testkit/ssh-agent.ts'
import { failureOf } from '../failure-of.ts'
import { acceptedLogins, skipReason, startSshd } from './openssh-here.ts'
import { sshConfigFleet, type SshConfigFleet } from './ssh-config-fleet.ts'

const run = promisify(execFile)
const PIN = '1234'

/** Of the token, where packages have it; the agent loads none from elsewhere. */
const library = ['/usr/lib/softhsm/libsofthsm2.so', '/usr/lib64/softhsm/libsofthsm2.so', '/usr/local/lib/softhsm/libsofthsm2.so'].find((path) => existsSync(path))
const reason = skipReason('ssh', 'sshd', 'ssh-keygen', 'ssh-agent', 'ssh-add', 'softhsm2-util') || (library === undefined ? ' (skipped: the library of softhsm2 is not where it is looked for)' : '')

describe.skipIf(reason !== '')(`a key in a PKCS#11 token${reason}`, () => {
  let folder: string
  let env: Readonly<Record<string, string>>
  let server: OpensshServer
  let agent: TestAgent
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'remex-token-'))
    env = { SOFTHSM2_CONF: join(folder, 'softhsm2.conf') }
    await makeToken()
    const { stdout } = await run('ssh-keygen', ['-D', library ?? ''], { env: { ...process.env, ...env } })
    server = await startSshd({ authorizedKeys: [stdout.trim()] })
    const started = await startAgent([], env)
    if ('skipped' in started) throw new Error(started.skipped)
    agent = started
    await addToken()
  })
  afterAll(async () => {
    await agent.close()
    await server.close()
    await rm(folder, { recursive: true })
  })

  /** A token in software, with one key, which it lets nobody use without the PIN. */
  async function makeToken(): Promise<void> {
    await mkdir(join(folder, 'tokens'))
    await writeFile(env['SOFTHSM2_CONF'] ?? '', `directories.tokendir = ${folder}/tokens\n`)
    const key = join(folder, 'key')
    await writeFile(key, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 })
    const tool = (...args: readonly string[]): Promise<unknown> => run('softhsm2-util', args, { env: { ...process.env, ...env } })
    await tool('--init-token', '--free', '--label', 'remex', '--pin', PIN, '--so-pin', PIN)
    await tool('--import', key, '--token', 'remex', '--label', 'key', '--id', '01', '--pin', PIN)
  }

  /** As somebody does who types `ssh-add -s <library>`, and the PIN. */
  async function addToken(): Promise<void> {
    const asking = join(folder, 'askpass')
    await writeFile(asking, `#!/bin/sh\necho ${PIN}\n`, { mode: 0o700 })
    await run('ssh-add', ['-s', library ?? ''], { env: { ...process.env, SSH_AUTH_SOCK: agent.socketPath, SSH_ASKPASS: asking, SSH_ASKPASS_REQUIRE: 'force', DISPLAY: 'none:0' } })
  }

  interface Way {
    readonly more?: readonly string[]
    readonly agentPath?: string
    readonly isOpenssh?: boolean
  }

  function fleetBy({ more = [], agentPath, isOpenssh = true }: Way): Promise<SshConfigFleet> {
    const { address, port, login } = server
    const own = [`HostName ${address}`, `Port ${port}`, `User ${login}`, 'IdentityFile none', ...more]
    const plan = { lines: () => ['Host db', ...own.map((line) => `  ${line}`)], env: { ...env, ...(agentPath !== undefined && { SSH_AUTH_SOCK: agentPath }) } }
    return sshConfigFleet(server, isOpenssh ? plan : { ...plan, vm01: { ip: address, ssh_port: port, ssh_user: login } })
  }

  it.each<[sentence: string, way: (socketPath: string) => Way, engine: string]>([
    ['opens a host with ssh_config', (agentPath) => ({ agentPath }), 'openssh'],
    ['opens a host whose settings of ssh name the agent', (path) => ({ more: [`IdentityAgent ${path}`] }), 'openssh'],
    ['opens a host without ssh_config, as any key of an agent does', (agentPath) => ({ agentPath, isOpenssh: false }), 'ssh2'],
  ])('that the agent has been given %s', async (_sentence, way, engine) => {
    await using fleet = await fleetBy(way(agent.socketPath))
    expect(await fleet.remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n', engine })
    expect((await acceptedLogins(server)).at(-1)).toMatch(/^Accepted publickey .* ECDSA /)
  })

  it('that PKCS11Provider alone names opens nothing, because nobody is asked for its PIN', async () => {
    await using fleet = await fleetBy({ more: [`PKCS11Provider ${library ?? ''}`] })
    expect(await failureOf(fleet.remex.host('vm01').run('true'))).toMatchObject({ code: 'AUTH_FAILED', mayHaveRun: false })
  })
})
