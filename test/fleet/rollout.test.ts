import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { planBatches } from '../../src/fleet/batches.ts'
import type { GroupRunOptions } from '../../src/fleet/group.ts'
import { rollOut } from '../../src/fleet/rollout.ts'
import { notStarted } from '../../src/fleet/never-ran.ts'
import { remexError } from '../../src/core/errors.ts'
import { RunResult } from '../../src/core/outcome.ts'
import { FakeClock } from '../../testkit/fake-clock.ts'
import * as faults from '../../testkit/fault-servers.ts'
import { startSshServer, type TestSshServer } from '../../testkit/ssh-server.ts'
import { until } from '../../testkit/until.ts'
import { failureOf } from '../failure-of.ts'
import { fleetOf, type TestFleet } from '../interop/fleet-of.ts'

const IDS = ['vm01', 'vm02', 'vm03', 'vm04', 'vm05', 'vm06']
let servers: readonly TestSshServer[]
let fleet: TestFleet

beforeAll(async () => {
  servers = await Promise.all(IDS.map((id) => startSshServer({ env: { NAME: id } })))
  fleet = await fleetOf(Object.fromEntries(IDS.map((id, index) => [id, servers[index] as TestSshServer])), { settings: { connect_timeout: '20s' } })
})
afterAll(async () => {
  await fleet[Symbol.asyncDispose]()
  await Promise.all(servers.map((server) => server.close()))
})

/** Every start, end and failed check, in their order, and the last state of each host. */
async function rolled(command: string, options: GroupRunOptions, remex = fleet.remex): Promise<{ events: string[]; states: Record<string, string>; results: RunResult[]; noted: string }> {
  const events: string[] = []
  const results: RunResult[] = []
  let noted = ''
  const onCheck = (vmId: string, state: string): void => void events.push(`check ${vmId} ${state}`)
  for await (const result of remex.hosts('all').run(command, { ...options, onStart: (vmId) => events.push(`start ${vmId}`), onCheck, onNoted: (id) => void (noted = id) })) {
    results.push(result)
    if (!result.untried && !result.check) events.push(`end ${result.vmId}`)
  }
  return { events, results, states: Object.fromEntries(results.map(({ vmId, state }) => [vmId, state])), noted }
}

const startsOf = (events: readonly string[]): string[] => events.filter((event) => event.startsWith('start')).map((event) => event.slice(6))
const FAILS_ON = (names: string): string => `case $NAME in ${names}) exit 3;; esac`

describe('batches of hosts', () => {
  it('follow one another: nothing of one starts before all of the one before has ended', async () => {
    const { events, states } = await rolled('case $NAME in *1|*3|*5) sleep 0.3;; esac', { batch: 2 })
    const at = (event: string): number => events.indexOf(event)
    for (const [first, second] of [[0, 2], [2, 4]] as const) {
      const ends = [IDS[first], IDS[first + 1]].map((id) => at(`end ${id}`))
      const starts = [IDS[second], IDS[second + 1]].map((id) => at(`start ${id}`))
      expect(Math.max(...ends)).toBeLessThan(Math.min(...starts))
    }
    expect(Object.values(states)).toEqual(IDS.map(() => 'succeeded'))
  })

  it('are told as they begin', async () => {
    const heard: unknown[] = []
    await rolled(':', { canary: 1, batch: '50%', onBatch: (batch) => heard.push(batch) })
    expect(heard).toEqual([
      { number: 1, of: 3, ids: ['vm01'], canary: true },
      { number: 2, of: 3, ids: ['vm02', 'vm03', 'vm04'], canary: false },
      { number: 3, of: 3, ids: ['vm05', 'vm06'], canary: false },
    ])
  })

  it('end with the one in which a host fails; the rest is not tried, and each host is given once', async () => {
    const { events, states, results } = await rolled(FAILS_ON('vm03'), { batch: 2 })
    expect(startsOf(events)).toEqual(['vm01', 'vm02', 'vm03', 'vm04'])
    expect(states).toEqual({ vm01: 'succeeded', vm02: 'succeeded', vm03: 'failed', vm04: 'succeeded', vm05: 'not_tried', vm06: 'not_tried' })
    expect(results).toHaveLength(IDS.length)
    expect(results.at(-1)).toMatchObject({ ended: 'not_started', untried: true, attempts: 0, error: { code: 'CANCELLED', mayHaveRun: false, message: 'vm06 was not tried: 1 failure is more than --max-failures 0' } })
  })

  it('go on while no more have failed than may', async () => {
    const { states } = await rolled(FAILS_ON('vm01|vm04|vm05'), { batch: 1, maxFailures: 2 })
    expect(states).toEqual({ vm01: 'failed', vm02: 'succeeded', vm03: 'succeeded', vm04: 'failed', vm05: 'failed', vm06: 'not_tried' })
  })

  it('leave no trace in the audit log of hosts that were not tried', async () => {
    const before = (await fleet.records()).length
    await rolled(FAILS_ON('vm01'), { batch: 1 })
    expect((await fleet.records()).slice(before).map(({ event, vm_id: id }) => [event, id])).toEqual([['begin', 'vm01'], ['finish', 'vm01'], ['stopped', undefined]])
  })
})

describe('the number of failures that may be', () => {
  it.each<readonly [string, GroupRunOptions['maxFailures'], readonly string[]]>([
    ['0: the first stops it', 0, ['vm01']],
    ['1: the second stops it', 1, ['vm01', 'vm02']],
    ['a share of all: the one above it stops it', '40%', ['vm01', 'vm02', 'vm03']],
    ['all: nothing stops it', '100%', IDS],
  ])('is %s', async (_, maxFailures, started) => {
    const { events } = await rolled('exit 1', { maxFailures, parallel: 1 })
    expect(startsOf(events)).toEqual(started)
  })

  it('stops what is not started and finishes what runs', async () => {
    const { states } = await rolled('case $NAME in vm01) exit 1;; *) sleep 0.5;; esac', { maxFailures: 0, parallel: 3 })
    expect(states).toEqual({ vm01: 'failed', vm02: 'succeeded', vm03: 'succeeded', vm04: 'not_tried', vm05: 'not_tried', vm06: 'not_tried' })
  })

  it('counts hosts that cannot be reached', async () => {
    await using refused = await faults.refusesConnection()
    const remex = await fleet.open({ vms: { vm02: { ip: refused.address, ssh_port: refused.port } } })
    const { states } = await rolled(':', { batch: 2 }, remex)
    expect(states).toMatchObject({ vm01: 'succeeded', vm02: 'unreachable', vm03: 'not_tried', vm06: 'not_tried' })
  })
})

describe('a canary', () => {
  it('that fails stops everything, whatever may fail of the others', async () => {
    const { events, results } = await rolled(FAILS_ON('vm01'), { canary: 1, maxFailures: '100%' })
    expect(startsOf(events)).toEqual(['vm01'])
    expect(results[1]?.error?.message).toBe('vm02 was not tried: 1 failure in the canary')
  })

  it('that succeeds lets the others begin', async () => {
    const { states } = await rolled(FAILS_ON('vm02'), { canary: 1 })
    expect(states).toEqual({ ...Object.fromEntries(IDS.map((id) => [id, 'succeeded'])), vm02: 'failed' })
  })
})

describe('a check', () => {
  it('looks at the hosts of a batch that succeeded, before the next batch starts', async () => {
    const { events, results } = await rolled(FAILS_ON('vm02'), { batch: 3, maxFailures: 1, check: 'test -n "$NAME"' })
    expect(events.filter((event) => event.startsWith('check')).toSorted()).toEqual(IDS.filter((id) => id !== 'vm02').flatMap((id) => [`check ${id} ended`, `check ${id} started`]))
    expect(events.lastIndexOf('check vm03 ended')).toBeLessThan(events.indexOf('start vm04'))
    expect(results).toHaveLength(IDS.length)
  })

  it('that fails counts as a failure of its host, which has one more result', async () => {
    const { states, results } = await rolled('echo done', { batch: 2, check: 'echo sick; test $NAME != vm02' })
    expect(states).toEqual({ vm01: 'succeeded', vm02: 'failed', vm03: 'not_tried', vm04: 'not_tried', vm05: 'not_tried', vm06: 'not_tried' })
    const own = results.filter(({ vmId }) => vmId === 'vm02')
    expect(own).toMatchObject([{ stdout: 'done\n', state: 'succeeded' }, { check: true, exitCode: 1, stdout: 'sick\n', state: 'failed' }])
    expect(JSON.parse(JSON.stringify(own[1]))).toMatchObject({ vm_id: 'vm02', check: true, exit_code: 1, state: 'failed', success: false })
  })

  it('is made after the last batch too, with the directory and the variables of the run', async () => {
    const { states } = await rolled(':', { batch: 5, cwd: '/tmp', env: { WORD: 'x' }, check: 'test "$PWD$WORD" = /tmpx && test $NAME != vm06' })
    expect(states).toMatchObject({ vm05: 'succeeded', vm06: 'failed' })
  })

  it('gets nothing of the input', async () => {
    const { states } = await rolled('test "$(cat)" = input', { batch: 6, stdin: 'input', check: 'test -z "$(cat)"' })
    expect(new Set(Object.values(states))).toEqual(new Set(['succeeded']))
  })

  it('passes the policy and is in the audit log, like any run', async () => {
    const own = await fleet.open({ policy: { rules: [{ effect: 'allow', speaks_for: ['tester'], hosts: ['all'], operations: ['run'], commands: [['true']] }] } })
    const results: RunResult[] = []
    for await (const result of own.hosts('vm01,vm02').run(['true'], { check: 'true' })) results.push(result)
    expect(results.map(({ check = false, state, error }) => [check, state, error?.code])).toEqual([
      [false, 'succeeded', undefined], [false, 'succeeded', undefined], [true, 'failed', 'POLICY_DENIED'], [true, 'failed', 'POLICY_DENIED'],
    ])
    expect((await fleet.records()).slice(-2).map(({ event, command }) => [event, command])).toEqual([['denied', 'true'], ['denied', 'true']])
  })
})

describe('the audit log', () => {
  it('says of a run that was stopped why, and how many hosts were left out', async () => {
    const { noted } = await rolled('exit 3', { maxFailures: 1, parallel: 1 })
    expect((await fleet.records()).at(-1)).toMatchObject({
      event: 'stopped', op_id: noted, user_id: 'tester', operation: 'run', command: 'exit 3', status: 'error', error_code: 'CANCELLED',
      reason: '2 failures are more than --max-failures 1: 4 of 6 hosts were not tried',
    })
  })

  it('says so too of one that was cancelled, and of one whose results nobody wanted', async () => {
    const cancel = new AbortController()
    await rolled(':', { batch: 2, signal: cancel.signal, onBatch: ({ number }) => (number === 2 ? cancel.abort() : undefined) })
    expect((await fleet.records()).at(-1)).toMatchObject({ event: 'stopped', reason: 'the run was cancelled: 4 of 6 hosts were not tried' })
    for await (const { vmId } of fleet.remex.hosts('all').run(':', { batch: 1 })) if (vmId === 'vm02') break
    expect((await fleet.records()).at(-1)).toMatchObject({ event: 'stopped', reason: expect.stringMatching(/^who asked for it left: \d of 6 hosts were not tried$/) as string })
  })

  it('has nothing to say of one that came to all hosts', async () => {
    await rolled('exit 3', { parallel: 6 })
    expect((await fleet.records()).at(-1)).toMatchObject({ event: 'finish' })
  })
})

describe('a cancel in the second of three batches', () => {
  it('ends what runs, starts nothing else, and every host is counted once', async () => {
    const cancel = new AbortController()
    const onOutput = (vmId: string): void => {
      if (vmId === 'vm03') cancel.abort()
    }
    const { states, results } = await rolled('case $NAME in vm03) echo up; sleep 19;; esac', { batch: 2, parallel: 1, signal: cancel.signal, onOutput })
    expect(states).toEqual({ vm01: 'succeeded', vm02: 'succeeded', vm03: 'cancelled', vm04: 'not_tried', vm05: 'not_tried', vm06: 'not_tried' })
    expect(results).toHaveLength(IDS.length)
    expect(results.at(-1)?.error?.message).toBe('vm06 was not tried: the run was cancelled')
  })
})

describe('the rest of a run', () => {
  it('can be tried again where the loop was left early', async () => {
    let id = ''
    for await (const result of fleet.remex.hosts('all').run(['true'], { batch: 2, onNoted: (noted) => void (id = noted) })) if (result.success) break
    const { group, unsure } = await fleet.remex.hosts('all').retrying(id, { operation: 'run', command: ['true'], options: {} })
    expect(group.ids).toEqual(IDS.slice(2))
    expect(unsure).toEqual([])
    for await (const result of group.run(['true'])) expect(result).toMatchObject({ opId: id, state: 'succeeded' })
    expect((await fleet.remex.hosts('all').retrying(id, { operation: 'run', command: ['true'], options: {} })).group.ids).toEqual([])
  })

  it('is run by one of two who try it at the same time, and not by the same twice', async () => {
    const { noted } = await rolled('exit 1', {})
    const again = async (): Promise<string[]> => {
      const { group } = await fleet.remex.hosts('all').retrying(noted, { operation: 'run', command: 'exit 1', options: {} })
      const states: string[] = []
      for await (const { state } of group.run('exit 1')) states.push(state)
      return states
    }
    const outcomes = await Promise.allSettled([again(), again(), again()])
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const outcome of outcomes) if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'USAGE', message: expect.stringContaining('tried again') as string })
    expect((await again()).every((state) => state === 'failed')).toBe(true)
  })

  it('is none of an operation that nobody knows, or of another command', async () => {
    const { noted } = await rolled('exit 1', {})
    const group = fleet.remex.hosts('all')
    expect(await failureOf(group.retrying('nothing', { operation: 'run', command: 'exit 1', options: {} }))).toMatchObject({ code: 'RUN_NOT_FOUND' })
    expect(await failureOf(group.retrying(noted, { operation: 'run', command: 'exit 2', options: {} }))).toMatchObject({ code: 'USAGE' })
    expect((await group.retrying(noted, { operation: 'run', command: 'exit 1', options: {} })).group.ids).toEqual(IDS)
  })
})

describe('a call that is wrong', () => {
  it.each<readonly [string, GroupRunOptions]>([
    ['a pause with nothing to wait between', { pause: '1s' }],
    ['a pause without end', { batch: 1, pause: 'none' }],
    ['a check of nothing', { check: ' ' }],
    ['a batch of nothing', { batch: 0 }],
  ])('is %s', async (_, options) => {
    expect(await failureOf(rolled(':', options))).toMatchObject({ code: 'USAGE' })
  })

  it('is a rollout that is only started', async () => {
    expect(await failureOf(fleet.remex.hosts('all').start('true', { batch: 1 }).next())).toMatchObject({ code: 'USAGE' })
  })
})

describe('a pause', () => {
  const about = (vmId: string): ConstructorParameters<typeof RunResult>[0] => ({ ...notStarted({ runId: 'r', vmId, user: 'u', operation: 'run', command: 'x' }, remexError('CANCELLED', 'x'), 0) })
  const succeeds = (vmId: string): Promise<RunResult> => Promise.resolve(new RunResult({ ...about(vmId), ended: 'exited', exitCode: 0, error: null }))
  const rolling = (clock: FakeClock, more: { signal?: AbortSignal; check?: typeof succeeds } = {}): AsyncGenerator<RunResult, void> =>
    rollOut({
      batches: planBatches(['vm01', 'vm02'], { batch: 1 }), parallel: 1, pauseMs: 60_000, clock, signal: more.signal, onBatch: undefined, onStopped: () => undefined, run: succeeds, check: more.check,
      untried: (vmId, error) => new RunResult({ ...about(vmId), error, untried: true }),
    })

  it('is kept between batches, and there is none after the last', async () => {
    const clock = new FakeClock()
    const results = rolling(clock)
    await results.next()
    const second = results.next()
    await until(() => clock.sleepers === 1, { what: 'the pause' })
    await clock.advance(60_000)
    expect(await second).toMatchObject({ value: { vmId: 'vm02' } })
    expect(await results.next()).toEqual({ value: undefined, done: true })
    expect(clock.monotonicMs()).toBe(60_000)
  })

  it('is kept before each check', async () => {
    const clock = new FakeClock()
    const checked: number[] = []
    const results = rolling(clock, { check: (vmId) => (checked.push(clock.monotonicMs()), succeeds(vmId)) })
    const all = (async () => { for await (const result of results) expect(result.state).toBe('succeeded') })()
    for (let batch = 0; batch < 2; batch++) {
      await until(() => clock.sleepers === 1, { what: 'the pause' })
      await clock.advance(60_000)
    }
    await all
    expect(checked).toEqual([60_000, 120_000])
  })

  it('ends at once when everything is cancelled', async () => {
    const clock = new FakeClock()
    const cancel = new AbortController()
    const results = rolling(clock, { signal: cancel.signal })
    await results.next()
    const second = results.next()
    await until(() => clock.sleepers === 1, { what: 'the pause' })
    cancel.abort()
    expect(await second).toMatchObject({ value: { vmId: 'vm02', state: 'not_tried' } })
  })
})

describe('two thousand batches of one host', () => {
  it('take a time in proportion, and go through all', async () => {
    const ids = Array.from({ length: 2000 }, (_, index) => `vm${index}`)
    const facts = notStarted({ runId: 'r', vmId: '', user: 'u', operation: 'run', command: 'x' }, remexError('CANCELLED', 'x'), 0)
    const result = (vmId: string): RunResult => new RunResult({ ...facts, vmId, ended: 'exited', exitCode: 0, error: null })
    const order: string[] = []
    const run = (vmId: string): Promise<RunResult> => (order.push(vmId), Promise.resolve(result(vmId)))
    const rolling = rollOut({ batches: planBatches(ids, { batch: 1 }), parallel: 32, pauseMs: 0, clock: new FakeClock(), signal: undefined, onBatch: undefined, onStopped: () => undefined, run, check: run, untried: result })
    let count = 0
    for await (const one of rolling) if (one.state === 'succeeded') count++
    expect(count).toBe(2000)
    expect(order).toEqual(ids.flatMap((id) => [id, id]))
  })
})
