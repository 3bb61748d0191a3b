import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Remex } from '../../src/remex.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import { startSshServer, type TestSshServer } from '../../testkit/ssh-server.ts'
import { failureOf } from '../failure-of.ts'
import { fleetOf, type Changes, type TestFleet } from '../interop/fleet-of.ts'

let target: TestSshServer
let jump: TestSshServer
beforeAll(async () => {
  target = await startSshServer({ env: { NAME: 'target' } })
  jump = await startSshServer({ env: { NAME: 'jump' } })
})
afterAll(() => Promise.all([target.close(), jump.close()]))

const fleetVia = (changes: Changes): Promise<TestFleet> => fleetOf({ vm01: target, vm02: jump }, { ...changes, settings: { connect_timeout: '20s', ...changes.settings } })

describe('a host behind a jump', () => {
  it('is reached through it, and runs and transfers like any other', async () => {
    await using fleet = await fleetVia({ vms: { vm01: { jump: 'vm02' } } })
    const before = jump.connections
    const host = fleet.remex.host('vm01')
    expect(await host.run('echo "$NAME"')).toMatchObject({ stdout: 'target\n' })
    expect(await host.put('/proc/version', 'version')).toMatchObject({ verified: true, hostKey: target.hostKeys[0]?.fingerprint })
    expect(jump.connections).toBe(before + 1)
    expect(jump.execs).toEqual([])
  })

  it('is ended by a deadline through it', async () => {
    await using fleet = await fleetVia({ vms: { vm01: { jump: 'vm02' } } })
    expect(await fleet.remex.host('vm01').run('sleep 15; :', { timeout: '300ms' })).toMatchObject({ ended: 'timed_out', killed: { survivors: [], scope: 'tree' } })
  })

  it('is not reached through a jump whose key is not known: nothing passes it', async () => {
    await using fleet = await fleetOf({ vm01: target, vm02: { server: jump, knownHosts: '' } }, { vms: { vm01: { jump: 'vm02' } } })
    const before = [jump.logins, target.connections]
    expect(await failureOf(fleet.remex.host('vm01').run('true'))).toMatchObject({ code: 'HOST_KEY_UNKNOWN', mayHaveRun: false, message: expect.stringContaining('vm02') as string })
    expect([jump.logins, target.connections]).toEqual(before)
  })

  it('has to prove itself too: a trusted jump vouches for nobody', async () => {
    await using fleet = await fleetOf({ vm01: { server: target, knownHosts: '' }, vm02: jump }, { vms: { vm01: { jump: 'vm02' } } })
    const before = target.logins
    expect(await failureOf(fleet.remex.host('vm01').run('true'))).toMatchObject({ code: 'HOST_KEY_UNKNOWN', message: expect.stringContaining(target.hostKeys[0]?.fingerprint ?? 'no key') as string })
    expect(target.logins).toBe(before)
  })

  it('may have one that is no host of the configuration: user@host:port', async () => {
    const key = makeKeyPair()
    const users = [{ name: 'tester', publicKeys: [key.publicKey] }, { name: 'hopper', publicKeys: [key.publicKey] }]
    await using far = await startSshServer({ users })
    await using near = await startSshServer({ users })
    await using fleet = await fleetOf({ vm01: { server: far, knownHosts: far.knownHosts + near.knownHosts } }, { settings: { connect_timeout: '20s' } })
    const identity = join(fleet.folder, 'identity')
    await writeFile(identity, key.privateKey, { mode: 0o600 })
    const via = (known: string): Promise<Remex> => fleet.open({ vms: { vm01: { identity_file: identity, jump: `hopper@${near.address}:${near.port}` } }, settings: { known_hosts_path: known } })
    const known = join(fleet.folder, 'known_hosts')
    expect(await (await via(known)).host('vm01').run('echo far')).toMatchObject({ stdout: 'far\n' })
    expect([near.sessions, near.logins > 0]).toEqual([0, true])
    await writeFile(join(fleet.folder, 'only-far'), far.knownHosts)
    const error = await failureOf((await via(join(fleet.folder, 'only-far'))).host('vm01').run('echo far'))
    expect(error).toMatchObject({ code: 'HOST_KEY_UNKNOWN', message: expect.stringContaining(`${near.port}`) as string })
  })

  it('may be several: each is passed in its turn, and has to prove itself', async () => {
    await using middle = await startSshServer()
    const members = { vm01: target, vm02: jump, vm03: middle }
    await using fleet = await fleetOf(members, { vms: { vm01: { jump: 'vm02, vm03' } }, settings: { connect_timeout: '20s' } })
    const before = [jump.connections, middle.connections]
    expect(await fleet.remex.host('vm01').run('echo "$NAME"')).toMatchObject({ stdout: 'target\n' })
    expect([jump.connections, middle.connections]).toEqual(before.map((count) => count + 1))
    await using blind = await fleetOf({ ...members, vm02: { server: jump, knownHosts: '' } }, { vms: { vm01: { jump: 'vm02,vm03' } } })
    const untouched = [jump.logins, middle.connections]
    expect(await failureOf(blind.remex.host('vm01').run('true'))).toMatchObject({ code: 'HOST_KEY_UNKNOWN', message: expect.stringContaining('vm02') as string })
    expect([jump.logins, middle.connections]).toEqual(untouched)
  })

  it('that does not answer behind a jump that does is told as itself', async () => {
    await using gone = await startSshServer()
    const { port } = gone
    await gone.close()
    await using fleet = await fleetVia({ vms: { vm01: { jump: 'vm02', ssh_port: port } } })
    const error = await failureOf(fleet.remex.host('vm01').run('true'))
    expect(error).toMatchObject({ code: 'UNREACHABLE', mayHaveRun: false })
    expect(error.message).toContain(String(port))
  })
})
