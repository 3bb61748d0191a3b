import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, type TestContext } from 'vitest'
import { RemexError } from '../../src/core/errors.ts'
import { fingerprint, type HostKey } from '../../src/core/host-key.ts'
import type { HostKeyRotation } from '../../src/enrol/host-rotate.ts'
import { startSshServer, type OpensshServer } from '../../testkit/index.ts'
import { findProgram } from '../../testkit/daemon.ts'
import { fleetOf, type Changes, type TestFleet } from '../interop/fleet-of.ts'
import { HostKeyPlace, nameOf, type KeyFile } from './host-key-place.ts'

describe.skipIf(!findProgram('sshd') || !findProgram('ssh-keygen'))('rotating host keys', () => {
  let place: HostKeyPlace
  let now: KeyFile
  let fresh: KeyFile
  let gone: KeyFile
  beforeEach(async () => {
    place = await HostKeyPlace.make()
    ;[now, fresh, gone] = [await place.key('now'), await place.key('fresh', 'ecdsa'), await place.key('gone', 'rsa')]
  })
  afterEach(() => place[Symbol.asyncDispose]())

  const known = (fleet: TestFleet): Promise<string> => readFile(join(fleet.folder, 'known_hosts'), 'utf8')
  const shown = ({ added, removed, kept }: HostKeyRotation): unknown => ({ added: added.map(print), removed: removed.map(({ key }) => print(key)), kept: kept.map(print) })
  const print = ({ blob }: HostKey): string => fingerprint(blob)

  interface Scene {
    readonly server: OpensshServer
    readonly fleet: TestFleet
    /** The line of a key in known_hosts. */
    readonly line: (key: KeyFile) => string
  }

  /** A server with the keys `now` and `fresh`, of which `before` are known. */
  async function scene(context: TestContext, before: readonly KeyFile[], changes?: Changes): Promise<Scene> {
    const server = await place.server(context, [now, fresh])
    const line = (key: KeyFile): string => `${nameOf(server)} ${key.line}\n`
    return { server, line, fleet: await fleetOf({ vm01: { server, knownHosts: before.map(line).join('') } }, changes) }
  }

  it('adds what the host proves, removes what it has no more, and keeps the rest', async (context) => {
    const { fleet: made, line } = await scene(context, [gone, now])
    await using fleet = made
    const rotation = await fleet.remex.trust.rotate('vm01')
    expect(shown(rotation)).toEqual({ added: [fresh.fingerprint], removed: [gone.fingerprint], kept: [now.fingerprint] })
    expect(rotation.removed[0]).toMatchObject({ file: join(fleet.folder, 'known_hosts'), line: 1 })
    expect(await known(fleet)).toBe(line(now) + line(fresh))
    expect(await fleet.remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n' })
    const [finish] = (await fleet.records()).filter(({ event }) => event === 'finish')
    expect(finish).toMatchObject({ operation: 'host_rotate', status: 'success', host_key: `${now.fingerprint} ${fresh.fingerprint}` })
  })

  it('a second time changes nothing', async (context) => {
    const { fleet: made, line } = await scene(context, [now])
    await using fleet = made
    await fleet.remex.trust.rotate('vm01')
    expect(shown(await fleet.remex.trust.rotate('vm01'))).toEqual({ added: [], removed: [], kept: [now.fingerprint, fresh.fingerprint] })
    expect(await known(fleet)).toBe(line(now) + line(fresh))
  })

  it('by two at once ends as by one', async (context) => {
    const { fleet: made, line } = await scene(context, [gone, now])
    await using fleet = made
    const rotations = await Promise.all([fleet.remex, await fleet.open(), await fleet.open()].map((remex) => remex.trust.rotate('vm01')))
    expect(rotations.flatMap(({ added }) => added.map(print))).toEqual([fresh.fingerprint])
    expect(await known(fleet)).toBe(line(now) + line(fresh))
  })

  it('only shows what it would change in a dry run', async (context) => {
    const { fleet: made, line } = await scene(context, [gone, now])
    await using fleet = made
    expect(shown(await fleet.remex.trust.rotate('vm01', { dryRun: true }))).toEqual({ added: [fresh.fingerprint], removed: [gone.fingerprint], kept: [now.fingerprint] })
    expect(await known(fleet)).toBe(line(gone) + line(now))
  })

  it('takes keys out of further files too, and neither adds what these have nor touches other lines', async (context) => {
    const server = await place.server(context, [now, fresh])
    const name = nameOf(server)
    await using fleet = await fleetOf({ vm01: { server, knownHosts: `${name} ${now.line}\n@revoked other ${gone.line}\n` } })
    const second = join(fleet.folder, 'second')
    await writeFile(second, `${name},vm02 ${gone.line}\n[127.*]:* ${fresh.line}\nvm02 ${gone.line}\n`)
    const remex = await fleet.open({ settings: { known_hosts_path: [join(fleet.folder, 'known_hosts'), second] } })
    expect(shown(await remex.trust.rotate('vm01', { dryRun: true }))).toEqual({ added: [], removed: [gone.fingerprint], kept: [now.fingerprint, fresh.fingerprint] })
    expect(shown(await remex.trust.rotate('vm01'))).toEqual({ added: [], removed: [gone.fingerprint], kept: [now.fingerprint, fresh.fingerprint] })
    expect(await known(fleet)).toBe(`${name} ${now.line}\n@revoked other ${gone.line}\n`)
    expect(await readFile(second, 'utf8')).toBe(`vm02 ${gone.line}\n[127.*]:* ${fresh.line}\nvm02 ${gone.line}\n`)
  })

  it('never adds a key that is revoked', async (context) => {
    const { fleet: made, line } = await scene(context, [now])
    await using fleet = made
    const text = `${line(now)}@revoked * ${fresh.line}\n`
    await writeFile(join(fleet.folder, 'known_hosts'), text)
    expect(shown(await fleet.remex.trust.rotate('vm01'))).toEqual({ added: [], removed: [], kept: [now.fingerprint] })
    expect(await known(fleet)).toBe(text)
  })

  it('writes the key of the connection too where it is known only at port 22, or it would be changed from then on', async (context) => {
    const { fleet: made, line } = await scene(context, [])
    await using fleet = made
    await writeFile(join(fleet.folder, 'known_hosts'), `127.0.0.1 ${now.line}\n`)
    await fleet.remex.trust.rotate('vm01')
    expect(await known(fleet)).toBe(`127.0.0.1 ${now.line}\n${line(now)}${line(fresh)}`)
    expect(await (await fleet.open()).host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n' })
  })

  it('writes nothing for a host with its key in the configuration, and gives what to put there', async (context) => {
    const { fleet: made } = await scene(context, [], { vms: { vm01: { host_key: now.line } } })
    await using fleet = made
    const rotation = await fleet.remex.trust.rotate('vm01')
    expect(rotation.hostKey).toEqual([now.line, fresh.line])
    expect(shown(rotation)).toEqual({ added: [], removed: [], kept: [now.fingerprint] })
    expect(await known(fleet)).toBe('')
  })

  it('is refused for a host that is not trusted, and does not log in', async (context) => {
    const { fleet: made, line } = await scene(context, [gone])
    await using fleet = made
    await expect(fleet.remex.trust.rotate('vm01')).rejects.toMatchObject({ code: 'HOST_KEY_CHANGED' })
    expect(await known(fleet)).toBe(line(gone))
  })

  it('is refused where the policy does not allow it: that is in the log, and nothing is written', async (context) => {
    const { fleet: made, line } = await scene(context, [gone, now], { policy: { rules: [{ effect: 'allow', operations: ['host_check'], hosts: ['all'] }] } })
    await using fleet = made
    const error: unknown = await fleet.remex.trust.rotate('vm01').catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(RemexError)
    expect(error).toMatchObject({ code: 'POLICY_DENIED' })
    expect(await fleet.records()).toMatchObject([{ event: 'denied', operation: 'host_rotate', error_code: 'POLICY_DENIED' }])
    expect(await known(fleet)).toBe(line(gone) + line(now))
  })
})

it('rotating the keys of a server that announces none changes nothing', async () => {
  await using server = await startSshServer()
  await using fleet = await fleetOf({ vm01: server })
  expect(await fleet.remex.trust.rotate('vm01')).toMatchObject({ announced: false, added: [], removed: [], hostKey: null })
  expect(await readFile(join(fleet.folder, 'known_hosts'), 'utf8')).toBe(server.knownHosts)
})
