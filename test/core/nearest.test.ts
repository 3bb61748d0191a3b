import { describe, expect, it } from 'vitest'
import { nearest } from '../../src/core/nearest.ts'

describe('nearest', () => {
  const cases: readonly (readonly [string, string, readonly string[], string | undefined])[] = [
    ['finds a dropped letter', 'default_timeot', ['default_retry', 'default_timeout'], 'default_timeout'],
    ['finds swapped neighbours', 'ssh_prot', ['ssh_port', 'ssh_user'], 'ssh_port'],
    ['does not mind capitals', 'SSH_Port', ['ssh_user', 'ssh_port'], 'ssh_port'],
    ['prefers the nearer one', 'connect_timeout', ['connect_timings', 'connect_timeouts'], 'connect_timeouts'],
    ['finds a key by a part of it', 'port', ['name', 'ssh_port'], 'ssh_port'],
    ['suggests nothing that is far', 'colour', ['ip', 'role'], undefined],
    ['suggests nothing for nothing', '', ['ip'], undefined],
    ['suggests nothing without candidates', 'ip', [], undefined],
    ['does not compare very long words', 'x'.repeat(65), ['x'.repeat(65)], undefined],
  ]
  it.each(cases)('%s', (_sentence, word, candidates, expected) => {
    expect(nearest(word, candidates)).toBe(expected)
  })
})
