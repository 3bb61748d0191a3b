import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startNetwork } from '../../testkit/network.ts'
import type { OpensshServer } from '../../testkit/openssh-server.ts'
import { failureOf } from '../failure-of.ts'
import { fleetOf, type Members, type TestFleet } from './fleet-of.ts'
import { acceptedLogins, directoryOn, skipReason, startSshd } from './openssh-here.ts'
import { hostBlock } from './ssh-config-fleet.ts'

const reason = skipReason('ssh', 'sshd')

type EngineName = 'ssh2' | 'openssh'
const MIXED: readonly { readonly target: EngineName; readonly jump: EngineName }[] = [
  { target: 'openssh', jump: 'ssh2' },
  { target: 'ssh2', jump: 'openssh' },
  { target: 'openssh', jump: 'openssh' },
]

describe.skipIf(reason !== '')(`a host behind a jump, with both engines${reason}`, () => {
  let server: OpensshServer
  let gate: OpensshServer
  beforeAll(async () => {
    [server, gate] = await Promise.all([startSshd(), startSshd()])
  })
  afterAll(() => Promise.all([server.close(), gate.close()]))

  const fleetBy = ({ target, jump }: (typeof MIXED)[number], members: Members = { vm01: server, vm02: gate }): Promise<TestFleet> =>
    fleetOf(members, { vms: { vm01: { jump: 'vm02', engine: target }, vm02: { engine: jump } } })

  describe.each(MIXED)('$target through a jump by $jump', (engines) => {
    it('runs commands and moves files, on one login at the jump', async () => {
      const before = (await acceptedLogins(gate)).length
      await using fleet = await fleetBy(engines)
      const host = fleet.remex.host('vm01')
      expect(await host.run('echo "in as $USER"')).toMatchObject({ stdout: `in as ${server.login}\n`, engine: engines.target })
      await using there = await directoryOn(host)
      const [sent, back] = [join(fleet.folder, 'sent'), join(fleet.folder, 'back')]
      const bytes = randomBytes(2_000_000)
      await writeFile(sent, bytes)
      expect(await host.put(sent, `${there.path}/kept`)).toMatchObject({ verified: true, engine: engines.target, hostKey: server.hostKeys[0]?.fingerprint })
      expect(await host.get(`${there.path}/kept`, back)).toMatchObject({ verified: true })
      expect((await readFile(back)).equals(bytes)).toBe(true)
      expect((await acceptedLogins(gate)).length - before).toBe(1)
    })

    it('ends what runs there at a deadline', async () => {
      await using fleet = await fleetBy(engines)
      const result = await fleet.remex.host('vm01').run('sleep 411 & sleep 411; :', { timeout: '300ms' })
      expect(result).toMatchObject({ ended: 'timed_out', killed: { survivors: [], scope: 'tree' } })
      expect((await fleet.remex.host('vm02').run('ps -eo args | grep "[s]leep 411"')).stdout).toBe('')
    })

    it('gives each of thirty runs at once its own output', async () => {
      await using fleet = await fleetBy(engines)
      const host = fleet.remex.host('vm01')
      const results = await Promise.all(Array.from({ length: 30 }, (_, index) => host.run(`echo ${index}`)))
      expect(results.map(({ stdout }) => stdout)).toEqual(Array.from({ length: 30 }, (_, index) => `${index}\n`))
    })

    it('is refused where the jump is not known: nothing passes it', async () => {
      await using fleet = await fleetBy(engines, { vm01: server, vm02: { server: gate, knownHosts: '' } })
      const before = [await acceptedLogins(gate), await acceptedLogins(server)]
      expect(await failureOf(fleet.remex.host('vm01').run('true'))).toMatchObject({ code: 'HOST_KEY_UNKNOWN', mayHaveRun: false, message: expect.stringContaining('vm02') })
      expect([await acceptedLogins(gate), await acceptedLogins(server)]).toEqual(before)
    })

    it('is refused where the host itself is not known: a trusted jump vouches for nobody', async () => {
      await using fleet = await fleetBy(engines, { vm01: { server, knownHosts: '' }, vm02: gate })
      const before = await acceptedLogins(server)
      expect(await failureOf(fleet.remex.host('vm01').run('true'))).toMatchObject({ code: 'HOST_KEY_UNKNOWN', message: expect.stringContaining(server.hostKeys[0]?.fingerprint ?? 'no key') })
      expect(await acceptedLogins(server)).toEqual(before)
    })

    it('that nothing listens on is told as itself, and not as the jump', async () => {
      await using fleet = await fleetBy(engines, { vm01: { server: { ...server, port: 1 }, knownHosts: `[127.0.0.1]:1 ${gate.knownHosts.split(' ').slice(1).join(' ')}` }, vm02: gate })
      const error = await failureOf(fleet.remex.host('vm01').run('true'))
      expect(error).toMatchObject({ code: 'UNREACHABLE', vmId: 'vm01', mayHaveRun: false, message: expect.stringContaining('127.0.0.1:1') })
    })

    it('is lost, and not taken for ended, when the way to the jump is cut', async () => {
      await using network = await startNetwork({ to: { host: gate.address, port: gate.port } })
      const known = gate.knownHosts.replaceAll(String(gate.port), String(network.port))
      await using fleet = await fleetBy(engines, { vm01: server, vm02: { server: { ...gate, port: network.port }, knownHosts: known } })
      const running = fleet.remex.host('vm01').run('echo up; sleep 5', { onOutput: () => network.cut() })
      expect(await failureOf(running)).toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true, result: { ended: 'lost', stdout: 'up\n' } })
      expect(await fleet.remex.host('vm01').run('echo again')).toMatchObject({ stdout: 'again\n' })
    })
  })

  it('passes three jumps in turn, by one engine and the other', async () => {
    await using middle = await startSshd()
    await using last = await startSshd()
    const engines = { vm01: { jump: 'vm02,vm03,vm04', engine: 'openssh' }, vm02: { engine: 'openssh' }, vm03: { engine: 'ssh2' }, vm04: { engine: 'openssh' } }
    await using fleet = await fleetOf({ vm01: server, vm02: gate, vm03: middle, vm04: last }, { vms: engines })
    expect(await fleet.remex.host('vm01').run('echo far')).toMatchObject({ stdout: 'far\n', engine: 'openssh' })
    expect([(await acceptedLogins(middle)).length, (await acceptedLogins(last)).length]).toEqual([1, 1])
  })

  it('keeps require_post_quantum at every hop', async () => {
    await using old = await startSshd({ config: ['KexAlgorithms curve25519-sha256'] })
    await using fleet = await fleetOf({ vm01: server, vm02: old }, { vms: { vm01: { jump: 'vm02' } }, settings: { require_post_quantum: true } })
    expect(await failureOf(fleet.remex.host('vm01').run('true'))).toMatchObject({ code: 'HANDSHAKE_FAILED', message: expect.stringMatching(/^vm02 .*require_post_quantum/) })
    expect(await acceptedLogins(old)).toEqual([])
  })

  /** Behind the jump, with settings of ssh that have a way of their own, which does not count here. */
  async function runsWithSshConfig(vm01: Record<string, unknown>): Promise<void> {
    await using fleet = await fleetOf({ vm01: server, vm02: gate })
    const path = join(fleet.folder, 'ssh_config')
    await writeFile(path, `${hostBlock('db', server, ['ProxyCommand false']).join('\n')}\n`)
    const remex = await fleet.open({ vms: { vm01: { jump: 'vm02', ...vm01 } }, settings: { ssh_config_path: path } })
    expect(await remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n', engine: 'openssh' })
  }

  it('with ssh_config is reached through its own jump before theirs', () => runsWithSshConfig({ ssh_config: 'db' }))

  it('with ssh_config is reached through its jump at the address and port that they say', () =>
    runsWithSshConfig({ ip: 'db', ssh_config: true, ssh_port: undefined, ssh_user: undefined }))
})
