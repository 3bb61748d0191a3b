import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { OsUsers } from '../../src/core/os-users.ts'

afterEach(() => vi.unstubAllEnvs())

describe('the name of a user of the operating system', () => {
  it('is one’s own for one’s own number', async () => {
    expect(await new OsUsers().nameOf(userInfo().uid)).toBe(userInfo().username)
  })

  it('is what this machine knows', async () => {
    const uid = Number(spawnSync('id', ['-u', 'nobody'], { encoding: 'utf8' }).stdout)
    expect([await new OsUsers().nameOf(0), await new OsUsers().nameOf(uid)]).toEqual(['root', 'nobody'])
  })

  it('is none where nobody has the number', async () => {
    expect(await new OsUsers().nameOf(3_999_999_999)).toBeUndefined()
  })

  it('is found without getent too, and not at all without id', async () => {
    const uid = Number(spawnSync('id', ['-u', 'nobody'], { encoding: 'utf8' }).stdout)
    const folder = await mkdtemp(join(tmpdir(), 'remex-path-'))
    vi.stubEnv('PATH', folder)
    expect(await new OsUsers().nameOf(uid)).toBeUndefined()
    await symlink(['/usr/bin/id', '/bin/id'].find((path) => spawnSync(path, ['-u']).status === 0) ?? '', join(folder, 'id'))
    expect([await new OsUsers().nameOf(uid), await new OsUsers().nameOf(3_999_999_999)]).toEqual(['nobody', undefined])
    await rm(folder, { recursive: true })
  })
})
