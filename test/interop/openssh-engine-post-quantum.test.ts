import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { POST_QUANTUM_KEX } from '../../src/transport/algorithms.ts'
import type { OpensshServer } from '../../testkit/openssh-server.ts'
import { failureOf } from '../failure-of.ts'
import { fleetOf, type TestFleet } from './fleet-of.ts'
import { acceptedLogins, skipReason, startSshd } from './openssh-here.ts'

const missing = skipReason('ssh', 'sshd')
const known = missing === '' ? spawnSync('ssh', ['-Q', 'kex'], { encoding: 'utf8' }).stdout.split('\n') : []
const here = POST_QUANTUM_KEX.filter((name) => known.includes(name))
const reason = missing || (here.length === 0 ? ' (skipped: this ssh has no such key exchange)' : '')

describe.skipIf(reason !== '')(`require_post_quantum${reason}`, () => {
  let able: OpensshServer
  let unable: OpensshServer
  let fleet: TestFleet
  beforeAll(async () => {
    [able, unable] = await Promise.all([startSshd({ postQuantum: true }), startSshd({ config: ['KexAlgorithms curve25519-sha256'] })])
    fleet = await fleetOf({ vm01: able, vm02: unable }, { settings: { engine: 'auto', require_post_quantum: true } })
  })
  afterAll(async () => {
    await fleet[Symbol.asyncDispose]()
    await Promise.all([able.close(), unable.close()])
  })

  it('is kept by the openssh engine, and the check tells the key exchange and why it is this engine', async () => {
    const info = await fleet.remex.check('vm01')
    expect(info).toMatchObject({ engine: 'openssh', engineReason: 'auto: require_post_quantum', postQuantum: 'used', serverVersion: expect.stringMatching(/^SSH-2\.0-OpenSSH_/) })
    expect(here).toContain(info.kex)
    expect(info.hostKey).toMatchObject({ type: 'ssh-ed25519', fingerprint: able.hostKeys[0]?.fingerprint, blob: able.hostKeys[0]?.blob })
    expect(info.hostKey).not.toHaveProperty('authority')
  })

  it('leaves engine, key exchange and host key in the audit record of a run', async () => {
    expect(await fleet.remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n', exitCode: 0, engine: 'openssh' })
    const record = (await fleet.records()).findLast(({ event, vm_id }) => event === 'finish' && vm_id === 'vm01')
    expect(record).toMatchObject({ operation: 'run', status: 'success', engine: 'openssh', host_key: able.hostKeys[0]?.fingerprint })
    expect(here).toContain(record?.kex)
  })

  it.each(here)('is kept with a server that has %s and no other of its kind', async (kex) => {
    await using server = await startSshd({ config: [`KexAlgorithms curve25519-sha256,${kex}`] })
    await using only = await fleetOf({ vm01: server }, { settings: { require_post_quantum: true } })
    expect(await only.remex.check('vm01')).toMatchObject({ kex, postQuantum: 'used' })
  })

  it('refuses a server without such a key exchange, says so, and comes to no login there', async () => {
    const before = await acceptedLogins(unable)
    const error = await failureOf(fleet.remex.host('vm02').run('echo in'))
    expect(error).toMatchObject({ code: 'HANDSHAKE_FAILED', vmId: 'vm02', mayHaveRun: false, result: { ended: 'not_started', exitCode: null } })
    expect(error.message).toMatch(/^vm02 \(127\.0\.0\.1:\d+\): require_post_quantum is set, .*quantum computers; it offers: curve25519-sha256/)
    expect(error.hint).toContain('require_post_quantum: false')
    expect(await acceptedLogins(unable)).toEqual(before)
  })

  it('refuses such a server for a file too, and for its check', async () => {
    const before = await acceptedLogins(unable)
    expect(await failureOf(fleet.remex.host('vm02').put('/proc/version', 'version'))).toMatchObject({ code: 'HANDSHAKE_FAILED', mayHaveRun: false })
    expect(await failureOf(fleet.remex.check('vm02'))).toMatchObject({ code: 'HANDSHAKE_FAILED', mayHaveRun: false })
    expect(await acceptedLogins(unable)).toEqual(before)
  })

  it('refuses one host of several, and runs on the others', async () => {
    const ends: Record<string, unknown> = {}
    for await (const { vmId, ended, stdout, error } of fleet.remex.hosts('all').run('echo in')) ends[vmId] = { ended, stdout, code: error?.code }
    expect(ends).toEqual({ vm01: { ended: 'exited', stdout: 'in\n', code: undefined }, vm02: { ended: 'not_started', stdout: '', code: 'HANDSHAKE_FAILED' } })
  })

  it.each([
    ['ssh2', 'able', 'offered'],
    ['ssh2', 'unable', 'none'],
    ['openssh', 'able', 'used'],
    ['openssh', 'unable', 'none'],
  ] as const)('without it the engine %s says of a server that is %s: %s', async (engine, which, postQuantum) => {
    const plain = await fleet.open({ settings: { engine, require_post_quantum: false } })
    expect(await plain.check(which === 'able' ? 'vm01' : 'vm02')).toMatchObject({ engine, engineReason: `engine: ${engine}`, postQuantum })
  })
})
