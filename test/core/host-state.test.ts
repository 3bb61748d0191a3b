import { describe, expect, it } from 'vitest'
import { remexError, type ErrorCode } from '../../src/core/errors.ts'
import { hostState, type HostState } from '../../src/core/host-state.ts'
import type { Ended } from '../../src/core/outcome.ts'

interface Run {
  readonly ended: Ended
  readonly exitCode?: number
  readonly code?: ErrorCode
  readonly untried?: boolean
  readonly check?: boolean
}

const stateOf = ({ ended, exitCode = ended === 'exited' ? 0 : undefined, code, untried = false, check = false }: Run): HostState =>
  hostState({ ended, exitCode: exitCode ?? null, error: code ? remexError(code, 'x') : null, untried, check })

describe('what became of a host', () => {
  it.each<readonly [HostState, Run]>([
    ['succeeded', { ended: 'exited' }],
    ['failed', { ended: 'exited', exitCode: 3 }],
    ['not_recorded', { ended: 'exited', code: 'AUDIT_UNAVAILABLE' }],
    ['signaled', { ended: 'signaled' }],
    ['timed_out', { ended: 'timed_out', code: 'TIMED_OUT' }],
    ['lost', { ended: 'lost', code: 'CONNECTION_LOST' }],
    ['unreachable', { ended: 'not_started', code: 'CONNECT_TIMEOUT' }],
    ['denied', { ended: 'not_started', code: 'POLICY_DENIED' }],
    ['not_started', { ended: 'not_started', code: 'CANCELLED' }],
    ['not_tried', { ended: 'not_started', code: 'CANCELLED', untried: true }],
    ['failed', { ended: 'exited', exitCode: 1, check: true }],
    ['failed', { ended: 'not_started', code: 'UNREACHABLE', check: true }],
    ['failed', { ended: 'timed_out', code: 'TIMED_OUT', check: true }],
    ['failed', { ended: 'exited', code: 'AUDIT_UNAVAILABLE', check: true }],
    ['cancelled', { ended: 'not_started', code: 'CANCELLED', check: true }],
    ['succeeded', { ended: 'exited', check: true }],
  ])('is %s after %j', (state, run) => {
    expect(stateOf(run)).toBe(state)
  })
})
