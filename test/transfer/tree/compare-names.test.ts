import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareNames } from '../../../src/transfer/tree/compare-names.ts'
import type { Named } from '../../../src/transfer/tree/compare-names.ts'
import { Listing } from '../../../src/transfer/tree/listing.ts'

const named = (name: string, kind: Named['kind'] = 'file'): Named => ({ name: Buffer.from(name, 'latin1'), kind })

const anyNamed = fc.record({
  name: fc.array(fc.constantFrom(0x01, 0x2d, 0x2e, 0x30, 0x61, 0x62, 0xff), { minLength: 1, maxLength: 4 }).map((bytes) => Buffer.from(bytes)),
  kind: fc.constantFrom<Named['kind']>('file', 'directory', 'symlink'),
})

describe('compareNames', () => {
  it.each([
    ['letters by their bytes', named('a'), named('b')],
    ['upper case before lower case', named('B'), named('a')],
    ['a name before one that goes on', named('a'), named('ab')],
    ['bytes above 127 last', named('z'), named('\xff')],
    ['a directory as if it ended in a slash: after a dot', named('a.c'), named('a', 'directory')],
    ['a directory as if it ended in a slash: before a digit', named('a', 'directory'), named('a0')],
    ['a file before a directory of the same name', named('a'), named('a', 'directory')],
    ['a link as a file', named('a', 'symlink'), named('a-b')],
  ])('puts %s', (_what, first, second) => {
    expect(compareNames(first, second)).toBeLessThan(0)
    expect(compareNames(second, first)).toBeGreaterThan(0)
  })

  it('is the order of the bytes of whole paths, and the order in which lists are sorted', () => {
    const path = ({ name, kind }: Named): Buffer => Buffer.concat([name, Buffer.from(kind === 'directory' ? '/' : '')])
    fc.assert(fc.property(fc.array(anyNamed, { maxLength: 8 }), (list) => {
      const listing = new Listing()
      for (const one of list) listing.add(one.name.toString('latin1'), { ...one, sizeBytes: 0, mtime: 0, mode: 0 })
      const expected = list.map(path).sort(Buffer.compare)
      expect([...list].sort(compareNames).map(path)).toEqual(expected)
      expect(listing.inOrder().map(path)).toEqual(expected)
    }))
  })
})
