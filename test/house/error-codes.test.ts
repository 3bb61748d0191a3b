import { describe, expect, it } from 'vitest'
import { ERRORS } from '../../src/core/errors.ts'
import { allFiles, textOf } from './repository.ts'

const codes = Object.keys(ERRORS)

describe('every error code', () => {
  it('is in docs/errors.md, and that page has no other', () => {
    expect(documented()).toEqual(codes.toSorted())
  })

  it('is in a test', () => {
    const tests = allFiles().filter((path) => /^test\/.*\.ts$/.test(path) && !path.startsWith('test/house/'))
    const text = tests.map(textOf).join('\n')
    expect(codes.filter((code) => !new RegExp(`['"\`]${code}['"\`]`).test(text))).toEqual([])
  })
})

/** What stands, as code, at the head of a row, a heading or an item. */
function documented(): readonly string[] {
  const rows = textOf('docs/errors.md').matchAll(/^(?:\||#+|-)\s*`([A-Z][A-Z_]+)`/gm)
  return [...new Set([...rows].map((row) => row[1] ?? ''))].toSorted()
}
