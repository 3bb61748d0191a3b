import { describe, expect, it } from 'vitest'
import { RunModel } from '../../../src/cli/live/model.ts'
import { remexError } from '../../../src/core/errors.ts'
import { idsOf, resultOf } from './results.ts'

describe('the state of a run on many hosts', () => {
  it('has each host waiting, running or done', () => {
    const model = new RunModel(idsOf(5), 0)
    for (const id of ['vm001', 'vm002', 'vm003']) model.started(id, 10)
    model.finished(resultOf('vm002'), 20)
    expect([model.total, model.waiting, model.running, model.done]).toEqual([5, 2, 2, 1])
    expect(['vm001', 'vm002', 'vm005', 'vm006'].map((id) => model.stateOf(id))).toEqual(['running', 'done', 'waiting', 'unknown'])
  })

  it('has a host that ends without its turn done', () => {
    const model = new RunModel(idsOf(2), 0)
    model.finished(resultOf('vm002', { ended: 'not_started', exitCode: null, untried: true }), 20)
    expect([model.waiting, model.running, model.done]).toEqual([1, 0, 1])
  })

  it('counts every state, those that succeeded first', () => {
    const model = new RunModel(idsOf(4), 0)
    model.finished(resultOf('vm001', { exitCode: 3 }), 1)
    model.finished(resultOf('vm002', { ended: 'not_started', exitCode: null, error: remexError('UNREACHABLE', 'gone') }), 1)
    model.finished(resultOf('vm003'), 1)
    model.finished(resultOf('vm004', { ended: 'cancelled', exitCode: null, error: remexError('CANCELLED', 'x') }), 1, true)
    expect(model.states).toEqual([['succeeded', 1], ['failed', 1], ['unreachable', 1], ['left running', 1]])
  })

  it('names the hosts that run for longest, the slowest first', () => {
    const model = new RunModel(idsOf(4), 0)
    for (const [index, id] of ['vm003', 'vm001', 'vm002'].entries()) model.started(id, index * 100)
    model.finished(resultOf('vm003'), 300)
    expect(model.slowest(1, 1000)).toEqual([{ vmId: 'vm001', elapsedMs: 900 }])
    expect(model.slowest(9, 1000).map(({ vmId }) => vmId)).toEqual(['vm001', 'vm002'])
  })

  it('folds the hosts that did not succeed by why, most hosts first', () => {
    const model = new RunModel(idsOf(9), 0)
    model.finished(resultOf('vm009', { exitCode: 1 }), 1)
    for (const id of ['vm003', 'vm004', 'vm007']) model.finished(resultOf(id, { exitCode: 3 }), 1)
    expect(model.troubles(1)).toEqual([{ hosts: 'vm[003-004,007]', count: 3, reason: 'exit status 3' }])
    model.finished(resultOf('vm008', { exitCode: 3 }), 2)
    expect(model.troubles(5)).toEqual([{ hosts: 'vm[003-004,007-008]', count: 4, reason: 'exit status 3' }, { hosts: 'vm009', count: 1, reason: 'exit status 1' }])
    expect(model.reasons).toBe(2)
  })

  it.each([
    ['of the last ten seconds', [[1000, 10], [12_000, 20]], 20_000, 2],
    ['of all the time where it is shorter', [[1000, 10]], 2000, 5],
    ['0 where nothing ended of late', [[1000, 10]], 60_000, 0],
  ] as const)('has a rate: %s', (_, endings, nowMs, rate) => {
    const model = new RunModel(idsOf(99), 0)
    const ids = [...idsOf(99)]
    for (const [ms, count] of endings) for (const id of ids.splice(0, count)) model.finished(resultOf(id), ms)
    expect(model.rate(nowMs)).toBe(rate)
  })
})
