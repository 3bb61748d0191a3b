import { appendFile, chmod, mkdtemp, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { formatHostKey, parseHostKey, type HostKey } from '../../src/core/host-key.ts'
import { KnownHostsFiles } from '../../src/keys/known-hosts-files.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import { until } from '../../testkit/until.ts'

let folder: string
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'remex-known-'))
  path = join(folder, 'known_hosts')
})
afterEach(() => rm(folder, { recursive: true }))

const keyOf = (): HostKey => parseHostKey(makeKeyPair().publicKey) as HostKey
const lineOf = (name: string, key: HostKey): string => `${name} ${formatHostKey(key)}\n`

describe('known_hosts files of a configuration', () => {
  it('are read once while they stay as they are', async () => {
    await writeFile(path, lineOf('a', keyOf()))
    const files = new KnownHostsFiles([path, join(folder, 'none')])
    await until(async () => (await files.load()) === (await files.load()), { what: 'a file that has settled' })
  })

  it.each<[string, (key: HostKey) => Promise<void>]>([
    ['a line that is added', (key) => appendFile(path, lineOf('b', key))],
    ['a file that takes its place', async (key) => {
      await writeFile(`${path}.new`, lineOf('b', key))
      await rename(`${path}.new`, path)
    }],
    ['another text of the same length and time', async (key) => {
      const then = new Date(2026, 0, 31)
      await writeFile(path, lineOf('b', key))
      await utimes(path, then, then)
    }],
  ])('show %s at once', async (_, change) => {
    const [old, fresh] = [keyOf(), keyOf()]
    await writeFile(path, lineOf('b', old))
    await utimes(path, new Date(2026, 0, 31), new Date(2026, 0, 31))
    const files = new KnownHostsFiles([path])
    await until(async () => (await files.load()) === (await files.load()), { what: 'a file that has settled' })
    await change(fresh)
    expect((await files.load()).check('b', 22, fresh).kind).toBe('trusted')
  })

  it('that cannot be read are an error each time, and are read once they can be', async () => {
    await writeFile(path, 'x'.repeat(17 * 1024 * 1024))
    const files = new KnownHostsFiles([path])
    for (let time = 0; time < 2; time++) await expect(files.load()).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    const key = keyOf()
    await writeFile(path, lineOf('b', key))
    await chmod(path, 0o600)
    expect((await files.load()).check('b', 22, key).kind).toBe('trusted')
  })
})
