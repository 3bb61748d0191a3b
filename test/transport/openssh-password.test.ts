import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Secret } from '../../src/core/secret.ts'
import { awaitQuestion } from '../../src/transport/openssh/password.ts'

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'remex-password-'))
})

afterAll(() => rm(folder, { recursive: true }))

it('a pipe for a password is made by the program that the given PATH finds, and no other', async () => {
  const asking = awaitQuestion(join(folder, 'p'), new Secret('secret'), { PATH: join(folder, 'nothing') })
  await expect(asking).rejects.toMatchObject({ code: 'ENOENT', path: 'mkfifo' })
})
