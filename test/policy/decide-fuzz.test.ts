import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decide, type Rule } from '../../src/policy/decide.ts'
import { request, rule } from './rules.ts'

const said = (commands: Rule['commands'], words: readonly string[]): string => decide({ rules: [rule({ commands })] }, request({ words })).effect

const plainWord = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 8 }),
  fc.constantFrom('ls', '-h', '/srv', 'é', 'e\u0301', 'ﬁ', 'A', 'a b', '', ' ', 'x\n', '$(id)', ';', '--', '\u202e', 'stat*'),
).filter((text) => text !== '*' && text !== '**')
const command = fc.array(plainWord, { minLength: 1, maxLength: 6 })

/** Every way to make another command of one; each may also leave it as it is. */
const CHANGES: Readonly<Record<string, (words: readonly string[], at: number, other: string) => readonly string[]>> = {
  replaced: (words, at, other) => words.with(at, other),
  'made a wildcard': (words, at) => words.with(at, '*'),
  removed: (words, at) => words.toSpliced(at, 1),
  inserted: (words, at, other) => words.toSpliced(at, 0, other),
  appended: (words, _at, other) => [...words, other],
  'an empty word more': (words, at) => words.toSpliced(at, 0, ''),
  swapped: (words, at) => words.with(at, words[0] ?? '').with(0, words[at] ?? ''),
  joined: (words, at) => words.toSpliced(at, 2, words.slice(at, at + 2).join(' ')),
  'joined without a space': (words, at) => words.toSpliced(at, 2, words.slice(at, at + 2).join('')),
  split: (words, at) => words.toSpliced(at, 1, ...(words[at] ?? '').split(' ')),
  halved: (words, at) => words.toSpliced(at, 1, ...halves(words[at] ?? '')),
  'in capitals': (words, at) => words.with(at, (words[at] ?? '').toUpperCase()),
  'in small letters': (words, at) => words.with(at, (words[at] ?? '').toLowerCase()),
  'in normal form C': (words, at) => words.with(at, (words[at] ?? '').normalize('NFC')),
  'in normal form D': (words, at) => words.with(at, (words[at] ?? '').normalize('NFD')),
  'in normal form KC': (words, at) => words.with(at, (words[at] ?? '').normalize('NFKC')),
  'with a space at its end': (words, at) => words.with(at, `${words[at] ?? ''} `),
  'with a space before it': (words, at) => words.with(at, ` ${words[at] ?? ''}`),
  'with a newline': (words, at) => words.with(at, `${words[at] ?? ''}\n`),
  'with a NUL': (words, at) => words.with(at, `${words[at] ?? ''}\0`),
  'in quotes': (words, at) => words.with(at, `'${words[at] ?? ''}'`),
  trimmed: (words, at) => words.with(at, (words[at] ?? '').trim()),
  reversed: (words) => words.toReversed(),
}

const halves = (word: string): string[] => [word.slice(0, word.length >> 1), word.slice(word.length >> 1)]
const same = (one: readonly string[], other: readonly string[]): boolean => JSON.stringify(one) === JSON.stringify(other)

describe('of a command that a rule allows', () => {
  it('the very same is allowed', () => {
    fc.assert(fc.property(command, (words) => { expect(said([words], [...words])).toBe('allow') }))
  })

  it.each(Object.keys(CHANGES))('no other is, with a word %s', (how) => {
    const change = CHANGES[how]
    fc.assert(
      fc.property(command, fc.nat(), plainWord, (allowed, seed, other) => {
        const words = change?.(allowed, seed % allowed.length, other) ?? []
        expect(said([allowed], words)).toBe(same(words, allowed) ? 'allow' : 'deny')
      }),
      { numRuns: 300 },
    )
  })

  it('no other is, after several changes at once', () => {
    const changes = fc.array(fc.tuple(fc.constantFrom(...Object.values(CHANGES)), fc.nat(), plainWord), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(command, changes, (allowed, list) => {
        const words = list.reduce<readonly string[]>((now, [change, seed, other]) => (now.length === 0 ? now : change(now, seed % now.length, other)), allowed)
        expect(said([allowed], words)).toBe(same(words, allowed) ? 'allow' : 'deny')
      }),
      { numRuns: 1000 },
    )
  })

  it('no other is, whatever it is', () => {
    fc.assert(fc.property(command, fc.array(plainWord, { maxLength: 6 }), (allowed, words) => { expect(said([allowed], words)).toBe(same(words, allowed) ? 'allow' : 'deny') }))
  })
})

describe('a wildcard', () => {
  it('* frees exactly its own position', () => {
    fc.assert(
      fc.property(command, fc.nat(), plainWord, (words, seed, other) => {
        const at = seed % words.length
        const pattern = words.with(at, '*')
        expect(said([pattern], words.with(at, other))).toBe('allow')
        for (const [index] of words.entries()) {
          const changed = words.with(index, `${words[index] ?? ''}x`)
          expect(said([pattern], changed)).toBe(index === at ? 'allow' : 'deny')
        }
        expect(said([pattern], words.toSpliced(at, 1))).toBe('deny')
        expect(said([pattern], words.toSpliced(at, 0, other))).toBe('deny')
      }),
    )
  })

  it('** frees the tail alone, also where that is empty', () => {
    fc.assert(
      fc.property(command, fc.array(plainWord, { maxLength: 4 }), (head, tail) => {
        expect(said([[...head, '**']], [...head, ...tail])).toBe('allow')
        for (const [index, word] of head.entries()) expect(said([[...head, '**']], [...head.with(index, `${word}x`), ...tail])).toBe('deny')
        expect(said([[...head, '**']], head.slice(0, -1))).toBe('deny')
      }),
    )
  })

  it('allows with others exactly the commands whose other words are the same', () => {
    const pattern = fc.array(fc.oneof(plainWord, fc.constant('*')), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(pattern, fc.boolean(), fc.array(plainWord, { minLength: 1, maxLength: 6 }), (fixed, isOpen, words) => {
        const fits = fixed.every((part, index) => index < words.length && (part === '*' || part === words[index]))
        expect(said([isOpen ? [...fixed, '**'] : fixed], words)).toBe(fits && (isOpen || words.length === fixed.length) ? 'allow' : 'deny')
      }),
    )
  })
})

const name = fc.constantFrom('alice', 'bob', 'carol', 'Alice', 'alice ', '*')
const anyRule = fc.record({
  effect: fc.constantFrom('allow', 'ask', 'deny'),
  users: fc.array(name, { maxLength: 2 }),
  speaksFor: fc.oneof(fc.constant('*' as const), fc.array(fc.constantFrom('bob', 'carol'), { maxLength: 2 })),
  hosts: fc.subarray(['vm01', 'vm02'], { maxLength: 1 }),
  operations: fc.subarray(['run', 'script', 'upload'], { maxLength: 2 }),
  commands: fc.array(fc.array(fc.constantFrom('uptime', '*', '**', 'df'), { minLength: 1, maxLength: 2 }), { maxLength: 2 }),
})

describe('shell text', () => {
  it('passes no rule without shell, neither by allow nor by an approval', () => {
    fc.assert(
      fc.property(fc.string(), fc.array(anyRule, { maxLength: 5 }), (shellText, rules) => {
        expect(decide({ rules: rules.map(rule) }, request({ shellText })).effect).toBe('deny')
        expect(decide({ rules: rules.map(rule) }, request({ operation: 'script', words: ['x'], shellText })).effect).toBe('deny')
      }),
    )
  })
})

describe('a label', () => {
  const RANK = { deny: 0, ask: 1, allow: 2 } as const

  it('never widens anything, also where rules let the user speak for it', () => {
    fc.assert(
      fc.property(fc.array(anyRule, { maxLength: 5 }), name, name, (rules, osUser, user) => {
        // A rule that asks when some are spoken for says itself that it is not about others.
        const policy = { rules: rules.map((one) => rule({ ...one, ...(one.effect === 'ask' && one.speaksFor !== '*' && { speaksFor: [] }) })) }
        const [own, labelled] = [decide(policy, request({ user: osUser, osUser })), decide(policy, request({ user, osUser }))]
        expect(RANK[labelled.effect]).toBeLessThanOrEqual(RANK[own.effect])
      }),
    )
  })

  it('counts for nothing without speaks_for', () => {
    fc.assert(
      fc.property(fc.array(anyRule, { maxLength: 5 }), name, name, (rules, osUser, user) => {
        fc.pre(user !== osUser)
        expect(decide({ rules: rules.map((one) => rule({ ...one, speaksFor: [] })) }, request({ user, osUser })).effect).toBe('deny')
      }),
    )
  })
})
