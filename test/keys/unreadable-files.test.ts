import { execFile } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bundle, type Bundle } from './bundle.ts'

/** Root may read everything, so a child process with another user id is asked. */
const NOBODY = 65_534
const PROGRAM = `
  import { asRemexError } from '../../src/core/errors.ts'
  import { findIdentities } from '../../src/keys/identities.ts'
  import { HostKeyStore } from '../../src/keys/known-hosts.ts'
  const [what, path] = process.argv.slice(2)
  const request = { vmId: 'vm01', identityFile: undefined, keyStoragePath: '/nowhere', keyStorageConfigured: false }
  const ask = {
    store: () => HostKeyStore.load([path]),
    file: () => findIdentities({ ...request, identityFile: path }, { env: {} }),
    directory: () => findIdentities({ ...request, keyStoragePath: path, keyStorageConfigured: true }, { env: {} }),
  }
  await ask[what]().then(() => console.log('{}'), (error) => console.log(JSON.stringify(asRemexError(error))))
`
let directory = ''
let program: Bundle | undefined

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'remex-unreadable-'))
  await writeFile(join(directory, 'file'), 'text')
  await chmod(join(directory, 'file'), 0)
  await chmod(directory, 0o755)
  program = await bundle(PROGRAM)
})
afterAll(async () => {
  await program?.remove()
  await rm(directory, { recursive: true, force: true })
})

async function answer(what: string, path: string): Promise<unknown> {
  const user = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
  const { stdout } = await promisify(execFile)(process.execPath, [program?.path ?? '', what, path], user)
  return JSON.parse(stdout)
}

describe('a file that may not be read', () => {
  it('makes a known_hosts store an error, never an empty one', async () => {
    expect(await answer('store', join(directory, 'file'))).toMatchObject({ code: 'PERMISSION_DENIED' })
  })

  it('makes a key unusable', async () => {
    const file = join(directory, 'file')
    expect(await answer('file', file)).toMatchObject({ code: 'KEY_UNUSABLE', message: expect.stringContaining(file) as unknown })
  })

  it('is looked for in a key directory that may not be entered: the directory is unusable', async () => {
    await chmod(directory, 0)
    try {
      expect(await answer('directory', directory)).toMatchObject({ code: 'KEY_UNUSABLE' })
    } finally {
      await chmod(directory, 0o755)
    }
  })
})
