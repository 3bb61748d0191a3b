import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import * as library from '../../src/index.ts'
import * as testkit from '../../testkit/index.ts'

const ROOT = join(import.meta.dirname, '../..')
const text = (path: string): Promise<string> => readFile(join(ROOT, path), 'utf8')

/** The names in the lists of `export { … }` of a module. */
function exported(source: string): string[] {
  return [...source.matchAll(/^export (?:type )?\{([^}]+)\}/gm)].flatMap(([, list = '']) =>
    list.split(',').map((item) => item.trim().replace(/^type /, '').replace(/^.* as /, '')).filter(Boolean))
}

describe('docs/api.md', () => {
  it('names everything that is public', async () => {
    const names = exported(await text('src/index.ts'))
    const page = await text('docs/api.md')
    expect(names.length).toBeGreaterThan(40)
    expect(names).toEqual(expect.arrayContaining(Object.keys(library)))
    expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(page))).toEqual([])
  })
})

describe('docs/testing.md', () => {
  it('names every server and tool of the testkit', async () => {
    const page = await text('docs/testing.md')
    expect(Object.keys(testkit).filter((name) => !page.includes(name))).toEqual([])
  })
})

/** The code of a page's ts blocks. */
function programs(page: string): string[] {
  return [...page.matchAll(/^```ts\n(.*?)^```/gms)].map(([, body = '']) => body.trim())
}

/** A program of ours as a user would write it. */
async function asUsersWrite(path: string): Promise<string> {
  const code = await text(path)
  return code.replace(/^\/\/ .*\n/, '').trim().replaceAll(/'(?:\.\.\/)+src\/index\.ts'/g, "'remex'").replaceAll(/'(?:\.\.\/)+testkit\/index\.ts'/g, "'remex/testkit'")
}

describe('the programs on the pages', () => {
  it.each([
    ['README.md', ['examples/api.ts', 'examples/original-functions.ts']],
    ['docs/testing.md', ['test/docs/testing-example.test.ts']],
  ])('of %s are the ones that tests run', async (page, paths) => {
    expect(programs(await text(page))).toEqual(await Promise.all(paths.map(asUsersWrite)))
  })
})
