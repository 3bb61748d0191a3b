import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { verifyAudit } from '../../src/audit/verify/verify.ts'
import { RemexError } from '../../src/core/errors.ts'
import type { RunResult } from '../../src/core/outcome.ts'
import { Secret } from '../../src/core/secret.ts'
import type { RunOptions, TransferOptions } from '../../src/fleet/requests.ts'
import { Remex } from '../../src/remex.ts'
import { startSshServer, type TestSshServer } from '../../testkit/ssh-server.ts'
import { until } from '../../testkit/until.ts'
import { failureOf } from '../failure-of.ts'
import { fleetOf, type TestFleet } from '../interop/fleet-of.ts'

let server: TestSshServer
beforeAll(async () => {
  server = await startSshServer()
})
afterAll(() => server.close())

/** The account that runs the tests speaks for three people. */
const SVC = userInfo().username
const ASK = { effect: 'ask', users: [SVC], speaks_for: ['alice', 'bob', 'carol'] }

/** The same fleet as several people use it. */
interface Office extends AsyncDisposable {
  readonly fleet: TestFleet
  as(user?: string): Promise<Remex>
  approvals(): Promise<string[]>
}

async function office(rules: readonly object[], vms: Readonly<Record<string, Record<string, unknown>>> = {}): Promise<Office> {
  const fleet = await fleetOf({ vm01: server, vm02: server }, { policy: { rules }, vms })
  const opened: Remex[] = []
  return {
    fleet,
    async as(user) {
      const remex = await Remex.open({ config: fleet.config, ...(user !== undefined && { user }), env: { REMEX_STATE_DIR: join(fleet.folder, 'state') } })
      opened.push(remex)
      return remex
    },
    approvals: async () => (await readdir(join(fleet.auditPath, 'approvals')).catch(() => [])).toSorted(),
    async [Symbol.asyncDispose]() {
      await Promise.all(opened.map((remex) => remex.close()))
      await fleet[Symbol.asyncDispose]()
    },
  }
}

const opIdIn = ({ hint }: RemexError): string => /remex approve (\S+);/.exec(hint)?.[1] ?? `none in: ${hint}`

/** Asks for it, which is refused, and has it approved by bob. */
async function approvedBy(bob: Remex, work: Promise<unknown>): Promise<string> {
  const opId = opIdIn(await failureOf(work))
  await bob.approvals.approve(opId)
  return opId
}

describe('what a rule asks an approval of', () => {
  it('is refused with the way to get it, and a repeat asks for the same; both are in the log, and nothing is sent', async () => {
    await using own = await office([ASK])
    const alice = await own.as('alice')
    const connections = server.connections
    const error = await failureOf(alice.host('vm01').run(['echo', 'hi']))
    const opId = opIdIn(error)
    expect(error).toMatchObject({ code: 'POLICY_DENIED', mayHaveRun: false, message: 'rule 1 asks for an approval of run on vm01', result: { ended: 'not_started', state: 'denied' } })
    expect(error.hint).toMatch(/^Somebody else types, before \d{4}-.*Z: remex approve \S+; then repeat the same command\.$/)
    expect(opIdIn(await failureOf(alice.host('vm01').run(['echo', 'hi'])))).toBe(opId)
    expect(server.connections).toBe(connections)
    expect(await own.approvals()).toEqual([`${opId}.json`])
    const note = { event: 'asked', op_id: opId, user_id: 'alice', os_user: SVC, vm_id: 'vm01', operation: 'run', command: 'echo hi', status: 'error', error_code: 'POLICY_DENIED', reason: error.message }
    expect(await own.fleet.records()).toMatchObject([note, note])
  })

  it('runs once after another person approved it, and then asks again; the log tells all of it and is whole', async () => {
    await using own = await office([ASK])
    const [alice, bob] = [await own.as('alice'), await own.as('bob')]
    const opId = opIdIn(await failureOf(alice.host('vm01').run(['echo', 'hi'])))
    expect(await bob.approvals.list()).toMatchObject([{ opId, vmId: 'vm01', user: 'alice', osUser: SVC, operation: 'run', command: 'echo hi', rule: 1 }])
    expect(await bob.approvals.approve(opId)).toMatchObject({ opId, user: 'alice' })
    expect(await bob.approvals.list()).toEqual([])
    expect(await alice.host('vm01').run(['echo', 'hi'])).toMatchObject({ stdout: 'hi\n', exitCode: 0 })
    expect(opIdIn(await failureOf(alice.host('vm01').run(['echo', 'hi'])))).not.toBe(opId)
    const approval = { approval: opId, approved_by: 'bob', approved_by_os_user: SVC }
    expect(await own.fleet.records()).toMatchObject([
      { event: 'asked', op_id: opId },
      { event: 'approved', op_id: opId, user_id: 'bob', vm_id: 'vm01', operation: 'run', command: 'echo hi', status: 'success', reason: `asked for by alice (${SVC}) under rule 1` },
      { event: 'begin', user_id: 'alice', ...approval },
      { event: 'finish', status: 'success', ...approval },
      { event: 'asked' },
    ])
    expect(await verifyAudit(own.fleet.auditPath)).toMatchObject({ ok: true, count: 5 })
  })

  it('goes through once where many ask at the same moment', async () => {
    await using own = await office([ASK])
    const alice = await own.as('alice')
    await approvedBy(await own.as('bob'), alice.host('vm01').run(['true']))
    const results = await Promise.all(Array.from({ length: 20 }, () => alice.host('vm01').run(['true']).catch((error: unknown) => error)))
    expect(results.filter((one) => !(one instanceof RemexError))).toHaveLength(1)
  })

  it('is asked for each host by itself', async () => {
    await using own = await office([ASK])
    const alice = await own.as('alice')
    const results: RunResult[] = []
    for await (const result of alice.hosts('all').run(['true'])) results.push(result)
    expect(results.map(({ error }) => error?.code)).toEqual(['POLICY_DENIED', 'POLICY_DENIED'])
    expect((await alice.approvals.list()).map(({ vmId }) => vmId).toSorted()).toEqual(['vm01', 'vm02'])
  })

  it('is not asked for on a host that may not be used', async () => {
    await using own = await office([ASK], { vm01: { enabled: false } })
    expect(await failureOf((await own.as('alice')).host('vm01').run(['true']))).toMatchObject({ code: 'HOST_NOT_ALLOWED' })
    expect(await own.approvals()).toEqual([])
  })

  it('expires, also when it was approved', async () => {
    await using own = await office([{ ...ASK, expires: '1500ms' }])
    const [alice, bob] = [await own.as('alice'), await own.as('bob')]
    const opId = await approvedBy(bob, alice.host('vm01').run(['true']))
    await until(async () => (await failureOf(bob.approvals.approve(opId))).message === `the request ${opId} has expired`, { what: 'its end' })
    expect(opIdIn(await failureOf(alice.host('vm01').run(['true'])))).not.toBe(opId)
  })
})

describe('approving', () => {
  it.each<[string, string | undefined, object, RegExp]>([
    ['by the one who asks', 'alice', {}, /alice is who asks/],
    ['by the account that both use', undefined, {}, new RegExp(`${SVC} is who asks`)],
    ['by a name that no rule lets the account give', 'mallory', {}, /no rule of the policy lets .* speak for mallory/],
    ['by somebody who is not among the approvers', 'carol', { approvers: ['bob'] }, /carol is not among the approvers/],
  ])('%s is refused, which is in the log, and changes nothing', async (_who, user, more, why) => {
    await using own = await office([{ ...ASK, ...more }])
    const alice = await own.as('alice')
    const opId = opIdIn(await failureOf(alice.host('vm01').run(['true'])))
    expect(await failureOf((await own.as(user)).approvals.approve(opId))).toMatchObject({ code: 'POLICY_DENIED', message: expect.stringMatching(why) as string })
    expect(await own.approvals()).toEqual([`${opId}.json`])
    expect((await own.fleet.records()).at(-1)).toMatchObject({ event: 'denied', op_id: opId, user_id: user ?? SVC, error_code: 'POLICY_DENIED', reason: expect.stringMatching(why) as string })
    expect(opIdIn(await failureOf(alice.host('vm01').run(['true'])))).toBe(opId)
  })

  it('says who may, where the rule names them', async () => {
    await using own = await office([{ ...ASK, approvers: ['bob', 'carol'] }])
    expect((await failureOf((await own.as('alice')).host('vm01').run(['true']))).hint).toMatch(/^bob or carol types, before/)
  })

  it('goes once: what is approved, used or not there is a wrong call', async () => {
    await using own = await office([ASK])
    const [alice, bob] = [await own.as('alice'), await own.as('bob')]
    const opId = await approvedBy(bob, alice.host('vm01').run(['true']))
    expect(await failureOf(bob.approvals.approve(opId))).toMatchObject({ code: 'USAGE', message: `the request ${opId} is approved already` })
    await alice.host('vm01').run(['true'])
    expect(await failureOf(bob.approvals.approve(opId))).toMatchObject({ code: 'USAGE', message: `the request ${opId} was used already` })
    expect(await failureOf(bob.approvals.approve('nope'))).toMatchObject({ code: 'USAGE', message: expect.stringMatching(/there is no request nope in .*approvals/) as string })
  })

  it('without a policy is a wrong call, and nothing waits', async () => {
    await using fleet = await fleetOf({ vm01: server })
    expect(await fleet.remex.approvals.list()).toEqual([])
    expect(await failureOf(fleet.remex.approvals.approve('x'))).toMatchObject({ code: 'USAGE', message: expect.stringContaining('no policy') as string })
  })

  it('that the log cannot be told of does not happen', async () => {
    await using own = await office([ASK])
    const opId = opIdIn(await failureOf((await own.as('alice')).host('vm01').run(['true'])))
    const blocked = join(own.fleet.folder, 'file')
    await writeFile(blocked, 'x')
    const bob = await Remex.open({ config: { ...own.fleet.config, remote_execution: { audit_log_path: join(blocked, 'audit') }, policy: { rules: [ASK], approvals_path: join(own.fleet.auditPath, 'approvals') } }, user: 'bob' })
    expect(await failureOf(bob.approvals.approve(opId))).toMatchObject({ code: 'AUDIT_UNAVAILABLE' })
    await bob.close()
    expect(await own.approvals()).toEqual([`${opId}.json`])
  })

  it('written by hand for one’s own request counts for nothing', async () => {
    await using own = await office([{ ...ASK, speaks_for: ['alice'] }])
    const alice = await own.as('alice')
    const opId = opIdIn(await failureOf(alice.host('vm01').run(['true'])))
    const file = join(own.fleet.auditPath, 'approvals', `${opId}.json`)
    const text = await readFile(file, 'utf8')
    const request_sha256 = createHash('sha256').update(text).digest('hex')
    for (const user of [SVC, 'alice', 'bob']) {
      const { digest } = JSON.parse(text) as { digest: string }
      await writeFile(file.replace('.json', '.approved'), JSON.stringify({ op_id: opId, digest, request_sha256, user, time: new Date().toISOString() }))
      expect(await failureOf(alice.host('vm01').run(['true']))).toMatchObject({ code: 'POLICY_DENIED' })
    }
  })
})

describe('an approval', () => {
  const BASE: RunOptions = { cwd: '/', env: { A: '1', T: new Secret('hunter2') } }

  it.each<[string, readonly string[] | string, RunOptions]>([
    ['other words', ['echo', 'b'], BASE],
    ['one word more', ['echo', 'a', ''], BASE],
    ['words that are joined', ['echo a'], BASE],
    ['shell text', 'echo a', BASE],
    ['another directory', ['echo', 'a'], { ...BASE, cwd: '/tmp' }],
    ['no directory', ['echo', 'a'], { env: BASE.env ?? {} }],
    ['another variable', ['echo', 'a'], { ...BASE, env: { ...BASE.env, B: '1' } }],
    ['another value', ['echo', 'a'], { ...BASE, env: { ...BASE.env, A: '2' } }],
    ['a variable that is no secret any more', ['echo', 'a'], { ...BASE, env: { ...BASE.env, T: 'hunter2' } }],
    ['sudo', ['echo', 'a'], { ...BASE, sudo: true }],
    ['a terminal', ['echo', 'a'], { ...BASE, pty: true }],
  ])('is not of %s', async (_what, command, options) => {
    await using own = await office([{ ...ASK, shell: true }])
    const [alice, bob] = [await own.as('alice'), await own.as('bob')]
    const opId = await approvedBy(bob, alice.host('vm01').run(['echo', 'a'], BASE))
    expect(opIdIn(await failureOf(alice.host('vm01').run(command, options)))).not.toBe(opId)
    expect(await alice.host('vm01').run(['echo', 'a'], BASE)).toMatchObject({ stdout: 'a\n' })
  })

  it('is not of another host, another person, or a host whose configuration has changed', async () => {
    await using own = await office([ASK])
    const [alice, bob, carol] = [await own.as('alice'), await own.as('bob'), await own.as('carol')]
    const opId = await approvedBy(bob, alice.host('vm01').run(['true']))
    const { vms } = own.fleet.config as { vms: Record<string, object> }
    const changed = async (vm01: object): Promise<Remex> => Remex.open({ config: { ...own.fleet.config, vms: { ...vms, vm01: { ...vms['vm01'], ...vm01 } } }, user: 'alice' })
    const [elsewhere, asRoot] = [await changed({ ip: '127.0.0.2' }), await changed({ sudo: true })]
    for (const host of [alice.host('vm02'), carol.host('vm01'), elsewhere.host('vm01'), asRoot.host('vm01')]) expect(opIdIn(await failureOf(host.run(['true'])))).not.toBe(opId)
    await Promise.all([elsewhere.close(), asRoot.close()])
    expect(await alice.host('vm01').run(['true'])).toMatchObject({ exitCode: 0 })
  })

  it('shows what matters, and no secret is in any file of it', async () => {
    await using own = await office([ASK])
    const alice = await own.as('alice')
    await failureOf(alice.host('vm01').run(['echo', 'hunter2'], { ...BASE, sudo: 'www' }))
    expect(await alice.approvals.list()).toMatchObject([{ command: 'echo [secret]', details: 'sudo www, cwd /, env A T' }])
    for (const name of await own.approvals()) expect(await readFile(join(own.fleet.auditPath, 'approvals', name), 'utf8')).not.toContain('hunter2')
  })

  it('is of whatever a secret and the input are', async () => {
    await using own = await office([ASK])
    const alice = await own.as('alice')
    await approvedBy(await own.as('bob'), alice.host('vm01').run(['cat'], { env: { T: new Secret('one') }, stdin: 'a' }))
    expect(await alice.host('vm01').run(['cat'], { env: { T: new Secret('two') }, stdin: 'b' })).toMatchObject({ stdout: 'b' })
  })

  it('of a script is of its content, arguments and interpreter', async () => {
    await using own = await office([{ ...ASK, shell: true }])
    const [alice, bob] = [await own.as('alice'), await own.as('bob')]
    const path = join(own.fleet.folder, 's.sh')
    await writeFile(path, '#!/bin/sh\necho one "$1"\n')
    const opId = await approvedBy(bob, alice.host('vm01').script(path, { args: ['a'] }))
    await writeFile(path, '#!/bin/sh\necho two "$1"\n')
    expect(opIdIn(await failureOf(alice.host('vm01').script(path, { args: ['a'] })))).not.toBe(opId)
    await writeFile(path, '#!/bin/sh\necho one "$1"\n')
    for (const options of [{ args: ['b'] }, { args: ['a'], interpreter: 'sh' }, { args: ['a'], remote: true }]) expect(opIdIn(await failureOf(alice.host('vm01').script(path, options)))).not.toBe(opId)
    expect(await alice.host('vm01').script(path, { args: ['a'] })).toMatchObject({ stdout: 'one a\n' })
    const startId = await approvedBy(bob, alice.host('vm01').startScript(path, { args: ['c'] }))
    await alice.host('vm01').startScript(path, { args: ['c'] })
    expect((await own.fleet.records()).filter(({ event }) => event === 'begin').map(({ approval }) => approval)).toEqual([opId, startId])
  })

  it('of a script sends the content that was approved, also when the file changes at that moment', async () => {
    const path = join(await mkdtemp(join(tmpdir(), 'remex-script-')), 's.sh')
    // By the time of the connection the decision is made, and nothing is sent yet.
    const relay = createServer((client) => {
      writeFileSync(path, '#!/bin/sh\necho two\n')
      const onward = connect(server.port, server.address)
      client.pipe(onward).pipe(client)
      for (const socket of [client, onward]) socket.on('error', () => client.destroy())
    }).listen(0, '127.0.0.1')
    await once(relay, 'listening')
    await using own = await office([ASK], { vm01: { ssh_port: (relay.address() as AddressInfo).port, host_key: server.hostKeys[0]?.fingerprint } })
    const [alice, bob] = [await own.as('alice'), await own.as('bob')]
    await writeFile(path, '#!/bin/sh\necho one\n')
    await approvedBy(bob, alice.host('vm01').script(path))
    expect(await alice.host('vm01').script(path)).toMatchObject({ stdout: 'one\n' })
    expect(await readFile(path, 'utf8')).toContain('two')
    relay.close()
    await rm(dirname(path), { recursive: true })
  })

  it.each<[string, string, TransferOptions]>([
    ['another path', 'other', {}],
    ['another mode', 'there', { mode: 0o777 }],
    ['a tree', 'there', { recursive: true }],
    ['a tree that removes', 'there', { recursive: true, delete: true }],
    ['a tree by rules', 'there', { recursive: true, rules: [{ effect: 'exclude', pattern: 'x' }] }],
    ['a dry run', 'there', { recursive: true, dryRun: true }],
    ['what is not verified', 'there', { insecureSkipVerify: true }],
  ])('of a transfer is not of %s', async (_what, remote, options) => {
    await using own = await office([ASK])
    const [alice, bob] = [await own.as('alice'), await own.as('bob')]
    const local = join(own.fleet.folder, 'file')
    await writeFile(local, 'content')
    const opId = await approvedBy(bob, alice.host('vm01').put(local, 'there'))
    expect(opIdIn(await failureOf(alice.host('vm01').put(local, remote, options)))).not.toBe(opId)
    expect(opIdIn(await failureOf(alice.host('vm01').get('there', local)))).not.toBe(opId)
    expect((await alice.approvals.list()).map(({ command }) => command)).toContain(`there -> ${local}`)
    expect(await alice.host('vm01').put(local, 'there')).toMatchObject({ verified: true })
  })

  it('to cancel one run is not to cancel another', async () => {
    await using own = await office([{ ...ASK, operations: ['run_cancel'] }])
    const [alice, bob] = [await own.as('alice'), await own.as('bob')]
    const cancel = async (runId: string): Promise<RemexError | null> => (await alice.runs.cancel(runId, { vmId: 'vm01' })).error
    const opIdOf = async (runId: string): Promise<string> => opIdIn(await failureOf(cancel(runId).then((error) => Promise.reject(error ?? new Error('it was let through')))))
    const opId = await opIdOf('one')
    await bob.approvals.approve(opId)
    expect(await opIdOf('two')).not.toBe(opId)
    expect(await failureOf(cancel('one'))).toMatchObject({ code: 'RUN_NOT_FOUND' })
  })
})
