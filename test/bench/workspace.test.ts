import { existsSync, readdirSync, statSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { makeFile, makeSparseFile, makeTree } from '../../bench/lib/sources.ts'
import { makeWorkspace } from '../../bench/lib/workspace.ts'

describe('the workspace of a run', () => {
  it('gives new directories, makes a source once, and is gone at the end with all that is in it', async () => {
    const space = await makeWorkspace()
    const { disk, memory } = space
    const [one, other] = [await disk.directory(), await disk.directory(0o777)]
    expect(one).not.toBe(other)
    expect(statSync(other).mode & 0o777).toBe(0o777)
    let made = 0
    const make = async (path: string): Promise<void> => {
      made++
      await makeFile(path, 3)
    }
    const [first, second] = await Promise.all([memory.once('source', make), memory.once('source', make)])
    expect([first, made]).toEqual([second, 1])
    expect(await disk.freeBytes()).toBeGreaterThan(0)
    await space[Symbol.asyncDispose]()
    expect([disk.path, memory.path].filter((path) => existsSync(path))).toEqual([])
  })
})

describe('what is moved', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'remex-sources-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

  it('is a file of exactly so many bytes that differ', async () => {
    await makeFile(join(folder, 'file'), 8_000_001)
    const bytes = await readFile(join(folder, 'file'))
    expect(bytes).toHaveLength(8_000_001)
    expect(bytes.subarray(0, 64).equals(bytes.subarray(64, 128))).toBe(false)
  })

  it('is a sparse file that takes no room', async () => {
    await makeSparseFile(join(folder, 'sparse'), 1e9)
    expect(statSync(join(folder, 'sparse'))).toMatchObject({ size: 1e9, blocks: 0 })
  })

  it('is a tree of so many files in so many directories, of which no two are the same', async () => {
    await makeTree(join(folder, 'tree'), { directories: 3, filesPerDirectory: 4, sizeBytes: 32 })
    const paths = readdirSync(join(folder, 'tree'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    expect(paths).toHaveLength(12)
    const contents = await Promise.all(paths.map(({ parentPath, name }) => readFile(join(parentPath, name), 'hex')))
    expect(new Set(contents.map((hex) => hex.length))).toEqual(new Set([64]))
    expect(new Set(contents).size).toBe(12)
  })
})
