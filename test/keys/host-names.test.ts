import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { lookupName, matchesNames, matchesPattern, namesWithout, refuseUnsafeAddress } from '../../src/keys/host-names.ts'
import { hashedName } from './host-key-samples.ts'

const letters = (alphabet: string, maxLength: number): fc.Arbitrary<string> =>
  fc.array(fc.constantFrom(...alphabet), { maxLength }).map((chars) => chars.join(''))

/** The same meaning by another way: a regular expression. */
function asRegExp(pattern: string): RegExp {
  const parts = [...pattern].map((char) => ({ '*': '[^]*', '?': '[^]' })[char] ?? char.replace(/[.\\[\]]/, String.raw`\$&`))
  return new RegExp(`^${parts.join('')}$`, 'i')
}

describe('a host name pattern', () => {
  it('matches exactly what the regular expression of the same meaning matches', () => {
    fc.assert(
      fc.property(letters('ab.?*B', 10), letters('ab.', 12), (pattern, host) => {
        expect(matchesPattern(pattern, host)).toBe(asRegExp(pattern).test(host))
      }),
      { numRuns: 5000 },
    )
  })

  it('without wildcards matches itself alone', () => {
    fc.assert(
      fc.property(letters('ab.-1', 8), letters('ab.-1', 8), (pattern, host) => {
        expect(matchesPattern(pattern, host)).toBe(pattern === host)
      }),
    )
  })

  it('matches a host that is made of it by filling in its wildcards', () => {
    const filled = fc.array(fc.oneof(
      letters('ab.', 3).map((text) => [text, text] as const),
      letters('ab.', 4).map((text) => ['*', text] as const),
      fc.constantFrom('a', 'b', '.').map((char) => ['?', char] as const),
    ))
    fc.assert(
      fc.property(filled, (parts) => {
        expect(matchesPattern(parts.map(([part]) => part).join(''), parts.map(([, text]) => text).join(''))).toBe(true)
      }),
    )
  })

  it('with a thousand stars is decided at once', () => {
    const startMs = performance.now()
    expect(matchesPattern(`${'*a'.repeat(500)}b`, 'a'.repeat(5000))).toBe(false)
    expect(performance.now() - startMs).toBeLessThan(2000)
  })
})

describe('a list of names', () => {
  it('matches where one pattern does and no negated one does', () => {
    const name = letters('ab*?', 4).filter((text) => text !== '')
    const pattern = fc.tuple(fc.boolean(), name)
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 5 }), letters('ab', 4), (patterns, host) => {
        const matching = patterns.filter(([, text]) => matchesPattern(text, host))
        const expected = matching.length > 0 && matching.every(([negated]) => !negated)
        expect(matchesNames(patterns.map(([negated, text]) => (negated ? '!' : '') + text).join(','), host)).toBe(expected)
      }),
    )
  })

  it('that a host was taken out of names it no more, but all the others', () => {
    const name = letters('abcAB', 3).filter((text) => text !== '')
    fc.assert(
      fc.property(fc.array(name, { minLength: 1, maxLength: 6 }), letters('abc', 3), (names, host) => {
        const left = namesWithout(names.join(','), host)
        expect(matchesNames(left, host)).toBe(false)
        for (const other of names.map((text) => text.toLowerCase())) expect(matchesNames(left, other)).toBe(other !== host)
      }),
    )
  })

  it.each([
    ['one of several names is taken out', 'vm00,vm01,10.0.0.1', 'vm00,10.0.0.1'],
    ['every form of the name is taken out', 'vm01,VM01,vm02,Vm01', 'vm02'],
    ['the only name leaves nothing', 'vm01', ''],
    ['exclusions alone are nothing', 'vm01,!vm02', ''],
    ['a pattern that matches stays', 'vm*,vm01', 'vm*'],
    ['an exclusion of the name stays', '*,!vm01,vm01', '*,!vm01'],
    ['a list without the name stays as it is', ',vm02,,VM03', ',vm02,,VM03'],
    ['the same name at another port stays', '[vm01]:2222', '[vm01]:2222'],
  ])('%s', (_sentence, names, left) => {
    expect(namesWithout(names, 'vm01')).toBe(left)
  })

  it('that is a hashed name goes only for the host that it names', () => {
    const names = hashedName('vm01')
    expect(namesWithout(names, 'vm01')).toBe('')
    expect(namesWithout(names, 'vm02')).toBe(names)
  })
})

describe('the name a host is looked up by', () => {
  it.each([
    ['vm01', 22, 'vm01'],
    ['VM01.Example.Org', 22, 'vm01.example.org'],
    ['vm01', 2222, '[vm01]:2222'],
    ['2001:DB8:0::1', 22, '2001:db8::1'],
    ['2001:DB8:0::1', 2222, '[2001:db8::1]:2222'],
    ['FE80::1%eth0', 22, 'fe80::1%eth0'],
    ['10.0.0.10', 22, '10.0.0.10'],
  ])('of %s port %i is %s', (address, port, name) => {
    expect(lookupName({ address, port })).toBe(name)
  })

  it.each([
    ['a list', 'vm01,vm02'], ['a pattern', 'vm*'], ['a question mark', 'vm?'], ['a negation', '!vm01'], ['a hash', '|1|a|b'],
    ['a comment', '#vm01'], ['a marker', '@revoked'], ['brackets', '[vm01]'], ['a blank', 'vm01 vm02'], ['a newline', 'vm01\nvm02'],
    ['nothing', ''], ['a control character', 'vm\u001b01'],
  ])('is refused for an address that is %s', (_what, address) => {
    expect(() => refuseUnsafeAddress({ address, port: 22 })).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })

  it.each([0, -1, 65_536, 1.5, Number.NaN])('is refused for port %d', (port) => {
    expect(() => refuseUnsafeAddress({ address: 'vm01', port })).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })
})
