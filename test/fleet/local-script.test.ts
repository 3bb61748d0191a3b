import { createHash } from 'node:crypto'
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { LocalScript } from '../../src/fleet/local-script.ts'
import { failureOf } from '../failure-of.ts'

let folder: string
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'remex-script-'))
  path = join(folder, 's.sh')
})
afterEach(() => rm(folder, { recursive: true }))

it('a script is read once, when its hash is asked for, and stays what it was then', async () => {
  await writeFile(path, 'one')
  const script = new LocalScript(path)
  expect(script.content).toBeUndefined()
  const hash = await script.sha256()
  await writeFile(path, 'two')
  expect(hash).toBe(createHash('sha256').update('one').digest('hex'))
  expect([await script.sha256(), script.content?.toString()]).toEqual([hash, 'one'])
})

it.each<[string, () => Promise<unknown>, string]>([
  ['is not there', () => Promise.resolve(), 'LOCAL_NOT_FOUND'],
  ['is a FIFO', () => Promise.resolve(spawnSync('mkfifo', [path])), 'USAGE'],
  ['is larger than 16 MiB', () => writeFile(path, '').then(() => truncate(path, 16 * 1024 * 1024 + 1)), 'USAGE'],
])('a script that %s has no hash', async (_what, make, code) => {
  await make()
  expect(await failureOf(new LocalScript(path).sha256())).toMatchObject({ code })
})
