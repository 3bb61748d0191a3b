import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HostFile } from '../../src/cli/host-file.ts'

let folder: string
let path: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'remex-host-file-'))
  path = join(folder, 'vm01.out')
})

afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

/** Lines that differ. */
function lines(count: number): string {
  return Array.from({ length: count }, (_, index) => `line ${index}\n`).join('')
}

describe('the file of a host', () => {
  it('has what was written, in order, also where nobody waited', async () => {
    const file = new HostFile(path)
    const parts = Array.from({ length: 50 }, (_, index) => `${index}\n`)
    for (const part of parts) void file.write(Buffer.from(part))
    expect(await file.end()).toBeUndefined()
    expect(await readFile(path, 'utf8')).toBe(parts.join(''))
  })

  it('takes the place of the old one at its end, and not before', async () => {
    await writeFile(path, 'old', { mode: 0o644 })
    const file = new HostFile(path)
    await file.write(Buffer.from('new'))
    expect(await readFile(path, 'utf8')).toBe('old')
    await file.end()
    expect(await readFile(path, 'utf8')).toBe('new')
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await readdir(folder)).toEqual(['vm01.out'])
  })

  it('is there, empty, where nothing was written', async () => {
    await new HostFile(path).end()
    expect(await readFile(path, 'utf8')).toBe('')
  })

  it.each([0, 1, 5000, 70_000, 200_000])('keeps no more than its last %i bytes where it is told so', async (sizeBytes) => {
    const text = lines(30_000)
    const file = new HostFile(path)
    await file.write(Buffer.from(text))
    await file.end(sizeBytes)
    expect((await readFile(path, 'utf8')) === text.slice(text.length - sizeBytes)).toBe(true)
  })

  it('gives the error where it cannot be written, and leaves nothing', async () => {
    const file = new HostFile(join(folder, 'nowhere', 'vm01.out'))
    await file.write(Buffer.from('a'))
    await file.write(Buffer.from('b'))
    expect(await file.end()).toMatchObject({ code: 'LOCAL_NOT_FOUND' })
    await mkdir(path)
    const other = new HostFile(path)
    await other.write(Buffer.from('a'))
    expect((await other.end())?.message).toContain('vm01.out')
    expect(await readdir(folder)).toEqual(['vm01.out'])
  })

  it('can be left at once: what came has its name, and what did not come leaves nothing', async () => {
    const file = new HostFile(path)
    await file.write(Buffer.from('begun'))
    const empty = new HostFile(join(folder, 'vm01.err'))
    await empty.write(Buffer.alloc(0))
    for (const each of [file, empty]) each.leave()
    expect(await readdir(folder)).toEqual(['vm01.out'])
    expect(await readFile(path, 'utf8')).toBe('begun')
  })
})
