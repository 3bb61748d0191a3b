import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { boundDigest, canonical, type Bound } from '../../src/policy/digest.ts'

const leaf = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null))
const bound: fc.Arbitrary<Bound> = fc.letrec<{ any: Bound }>((tie) => ({
  any: fc.oneof({ depthSize: 'small' }, leaf, fc.array(tie('any'), { maxLength: 4 }), fc.dictionary(fc.string(), tie('any'), { maxKeys: 4 })),
})).any

describe('the digest of what an approval binds', () => {
  it('is the same for the same data, in whatever order its keys were set', () => {
    fc.assert(fc.property(fc.dictionary(fc.string(), bound), (map) => { expect(boundDigest(Object.fromEntries(Object.entries(map).toReversed()))).toBe(boundDigest(map)) }))
  })

  it('is another for other data', () => {
    fc.assert(
      fc.property(bound, bound, (one, other) => {
        fc.pre(canonical(one) !== canonical(other))
        expect(boundDigest(one)).not.toBe(boundDigest(other))
      }),
    )
  })

  it('loses nothing but the order of keys: its text reads back as the data', () => {
    fc.assert(fc.property(bound, (data) => { expect(JSON.parse(canonical(data))).toEqual(JSON.parse(JSON.stringify(data))) }))
  })

  it.each<[string, Bound, Bound]>([
    ['words that are joined', ['a b'], ['a', 'b']],
    ['an empty word', ['a', ''], ['a']],
    ['a word in another normal form', ['é'], ['e\u0301']],
    ['text and words', { words: ['id'] }, { shell_text: 'id' }],
    ['false and what is left out', { sudo: false }, {}],
    ['null and the text', { sudo: null }, { sudo: 'null' }],
  ])('tells %s apart', (_what, one, other) => {
    expect(boundDigest(one)).not.toBe(boundDigest(other))
  })
})
