import { spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { FIELD_NAMES } from '../../src/audit/record.ts'
import { logDirectory } from './log-directory.ts'

const page = await readFile(join(import.meta.dirname, '../../docs/audit.md'), 'utf8')

describe('docs/audit.md', () => {
  it('has a program that verifies a log without Remex, and finds one that was altered', async (context) => {
    if (spawnSync('python3', ['--version']).status !== 0) return context.skip('python3 is not installed')
    const program = /```python\n(.*?)```/s.exec(page)?.[1] ?? ''
    const place = await logDirectory()
    await place.fill(3)
    const run = (): string => spawnSync('python3', ['-c', program], { cwd: place.directory, encoding: 'utf8' }).stdout
    const { seq, hash }: { seq: number; hash: string } = JSON.parse(await readFile(place.head, 'utf8'))
    expect(run()).toBe(`${seq} ${hash}\n`)
    await writeFile(place.log, (await place.text()).replace('alice', 'mallory'))
    expect(run()).toBe('')
    await place.remove()
    return undefined
  })

  it('has commands that check the signature without Remex, and refuse one that does not fit', async (context) => {
    if (['jq', 'openssl'].some((name) => spawnSync('which', [name]).status !== 0)) return context.skip('jq or openssl is not installed')
    const commands = /```sh\n(jq -j .*?)```/s.exec(page)?.[1] ?? ''
    const place = await logDirectory()
    await place.fill(1)
    const run = (): number | null => spawnSync('sh', ['-e', '-c', commands], { cwd: place.directory }).status
    expect(run()).toBe(0)
    await writeFile(place.head, (await readFile(place.head, 'utf8')).replace('"seq":2', '"seq":3'))
    expect(run()).not.toBe(0)
    await place.remove()
    return undefined
  })

  it('names every field of a record, in the order of the log', () => {
    const table = page.slice(page.indexOf('## Records'), page.indexOf('## The hash'))
    const named = [...table.matchAll(/^\| (`[^|]+) \|/gm)].flatMap(([, cell = '']) => [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name))
    expect(named).toEqual(FIELD_NAMES)
  })
})
