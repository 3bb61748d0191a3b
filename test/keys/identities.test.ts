import { execFile } from 'node:child_process'
import { chmod, chown, mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { RemexError } from '../../src/core/errors.ts'
import { parseHostKey } from '../../src/core/host-key.ts'
import type { Identity } from '../../src/core/identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { findIdentities, type IdentityRequest } from '../../src/keys/identities.ts'
import type { PassphraseSource } from '../../src/keys/key-file.ts'
import { makeKeyPair } from '../../testkit/keys.ts'

const plain = makeKeyPair('ed25519')
const encrypted = makeKeyPair('ed25519', { passphrase: 'open sesame' })
const isRoot = process.getuid?.() === 0

let root = ''
let directory = ''
let socketPath = ''
let agent: Server | undefined

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'remex-identities-'))
  socketPath = join(root, 'agent')
  const server = createServer()
  agent = server
  await new Promise<void>((resolve) => server.listen(socketPath, resolve))
})
afterAll(async () => {
  agent?.close()
  await rm(root, { recursive: true, force: true })
})
beforeEach(async () => {
  directory = await mkdtemp(join(root, 'case-'))
})

function find(request: Partial<IdentityRequest> = {}, context: Partial<PassphraseSource> = {}): Promise<readonly Identity[]> {
  const all = { vmId: 'vm01', identityFile: undefined, keyStoragePath: directory, keyStorageConfigured: true, ...request }
  return findIdentities(all, { env: {}, ...context })
}

async function failure(request: Partial<IdentityRequest> = {}, context: Partial<PassphraseSource> = {}): Promise<RemexError> {
  const error: unknown = await find(request, context).catch((reason: unknown) => reason)
  if (error instanceof RemexError) return error
  throw new Error('there is an identity where none is expected')
}

const about = (text: string): unknown => expect.stringContaining(text)

async function put(name: string, text = plain.privateKey, mode = 0o600): Promise<string> {
  const path = join(directory, name)
  await writeFile(path, text)
  await chmod(path, mode)
  return path
}

describe('looking for a key', () => {
  it.each([
    ['ed25519 comes before all others', ['id_ecdsa_vm01', 'id_rsa_vm01', 'id_ed25519_vm01'], 'id_ed25519_vm01'],
    ['rsa comes before ecdsa', ['id_ecdsa_vm01', 'id_rsa_vm01'], 'id_rsa_vm01'],
    ['ecdsa is taken where it is alone', ['id_ecdsa_vm01'], 'id_ecdsa_vm01'],
    ['keys of other hosts are passed over', ['id_ed25519_vm02', 'id_ed25519_vm010', 'id_ecdsa_vm01'], 'id_ecdsa_vm01'],
  ])('%s', async (_sentence, names, label) => {
    for (const name of names) await put(name)
    expect(await find()).toEqual([{ kind: 'key', label, data: Buffer.from(plain.privateKey) }])
  })

  it('takes the agent after the key', async () => {
    await put('id_ed25519_vm01')
    const found = await find({}, { env: { SSH_AUTH_SOCK: socketPath } })
    expect(found.map(({ kind }) => kind)).toEqual(['key', 'agent'])
    expect(found[1]).toEqual({ kind: 'agent', socketPath })
  })

  it('takes the agent alone where there is no key', async () => {
    expect(await find({}, { env: { SSH_AUTH_SOCK: socketPath } })).toEqual([{ kind: 'agent', socketPath }])
  })

  it('takes the agent alone where the default directory is not there', async () => {
    const request = { keyStoragePath: join(directory, 'none'), keyStorageConfigured: false }
    expect(await find(request, { env: { SSH_AUTH_SOCK: socketPath } })).toEqual([{ kind: 'agent', socketPath }])
  })

  it('takes identity_file alone, neither the key store nor the agent', async () => {
    await put('id_ed25519_vm01', makeKeyPair().privateKey)
    const identityFile = await put('special')
    const found = await find({ identityFile, keyStoragePath: '/nowhere' }, { env: { SSH_AUTH_SOCK: socketPath } })
    expect(found).toEqual([{ kind: 'key', label: 'special', data: Buffer.from(plain.privateKey) }])
  })

  it('takes one key of the agent where identity_file is a public key', async () => {
    const identityFile = await put('special.pub', plain.publicKey)
    const only = parseHostKey(plain.publicKey)?.blob
    expect(await find({ identityFile }, { env: { SSH_AUTH_SOCK: socketPath } })).toEqual([{ kind: 'agent', socketPath, only }])
    expect(await failure({ identityFile })).toMatchObject({ code: 'KEY_UNUSABLE', message: about('no ssh-agent') })
  })

  it('follows a link to a key', async () => {
    await symlink(await put('elsewhere'), join(directory, 'id_ed25519_vm01'))
    expect(await find()).toMatchObject([{ label: 'id_ed25519_vm01' }])
  })
})

describe('without a key', () => {
  it('names the host and the directory', async () => {
    const error = await failure()
    expect(error.code).toBe('KEY_NOT_FOUND')
    expect(error.message).toContain('vm01')
    expect(error.message).toContain(directory)
    expect(error.hint).toContain('id_ed25519_vm01')
    expect(error.vmId).toBe('vm01')
  })

  it('says that SSH_AUTH_SOCK leads nowhere', async () => {
    for (const path of [join(directory, 'nowhere'), await put('a-file'), directory]) {
      const error = await failure({}, { env: { SSH_AUTH_SOCK: path } })
      expect(error).toMatchObject({ code: 'KEY_NOT_FOUND', message: about('SSH_AUTH_SOCK does not lead to an agent') })
    }
  })

  it('names the identity_file that is not there', async () => {
    const identityFile = join(directory, 'nowhere')
    expect(await failure({ identityFile })).toMatchObject({ code: 'KEY_NOT_FOUND', message: about(identityFile) })
  })

  it('refuses a configured directory that is not there, even with an agent', async () => {
    const keyStoragePath = join(directory, 'none')
    const error = await failure({ keyStoragePath }, { env: { SSH_AUTH_SOCK: socketPath } })
    expect(error).toMatchObject({ code: 'KEY_UNUSABLE', message: about(keyStoragePath) })
  })

  it('refuses a key directory that is a file, configured or not', async () => {
    const keyStoragePath = await put('file')
    for (const keyStorageConfigured of [true, false]) {
      expect(await failure({ keyStoragePath, keyStorageConfigured })).toMatchObject({ code: 'KEY_UNUSABLE' })
    }
  })

  it.each(['../../etc/passwd', 'a/b', 'vm\0', 'vm\n01', ''])('refuses the host id %j as part of a file name', async (vmId) => {
    expect(await failure({ vmId })).toMatchObject({ code: 'CONFIG_INVALID' })
  })
})

describe('a key file', () => {
  const open = [0o640, 0o604, 0o644, 0o660, 0o601, 0o610, 0o602, 0o777]
  it.each(open)('of mode %o is refused, with the mode and how to mend it', async (mode) => {
    const path = await put('id_ed25519_vm01', plain.privateKey, mode)
    const error = await failure()
    expect(error.code).toBe('KEY_UNUSABLE')
    expect(error.message).toContain(`mode 0${mode.toString(8)}`)
    expect(error.hint).toBe(`chmod 600 ${path}`)
  })

  it.each([0o600, 0o400, 0o700])('of mode %o is taken', async (mode) => {
    await put('id_ed25519_vm01', plain.privateKey, mode)
    expect(await find()).toHaveLength(1)
  })

  it('that a link leads to is the one that is checked', async () => {
    await symlink(await put('elsewhere', plain.privateKey, 0o644), join(directory, 'id_ed25519_vm01'))
    expect(await failure()).toMatchObject({ code: 'KEY_UNUSABLE', message: about('mode 0644') })
  })

  it.skipIf(!isRoot)('of another user is refused (only root can give files away)', async () => {
    await chown(await put('id_ed25519_vm01'), 65_534, 65_534)
    expect(await failure()).toMatchObject({ code: 'KEY_UNUSABLE', message: about('belongs to user 65534') })
  })

  it('that fails its checks is not passed over for another key or the agent', async () => {
    await put('id_ed25519_vm01', 'nonsense')
    await put('id_rsa_vm01')
    expect(await failure({}, { env: { SSH_AUTH_SOCK: socketPath } })).toMatchObject({ code: 'KEY_UNUSABLE' })
  })

  it('whose link leads nowhere is not passed over', async () => {
    await symlink(join(directory, 'nowhere'), join(directory, 'id_ed25519_vm01'))
    await put('id_rsa_vm01')
    expect(await failure()).toMatchObject({ code: 'KEY_NOT_FOUND', message: about('id_ed25519_vm01') })
  })

  it('that is a directory, a FIFO or a loop of links is refused and not waited for', async () => {
    const path = join(directory, 'id_ed25519_vm01')
    await mkdir(path, { mode: 0o700 })
    expect(await failure()).toMatchObject({ code: 'KEY_UNUSABLE', message: about('not a regular file') })
    await rm(path, { recursive: true })
    await promisify(execFile)('mkfifo', ['-m', '600', path])
    expect(await failure()).toMatchObject({ code: 'KEY_UNUSABLE', message: about('not a regular file') })
    await rm(path)
    await symlink(path, path)
    expect(await failure()).toMatchObject({ code: 'KEY_UNUSABLE' })
  })

  it('of more than 64 KiB is refused', async () => {
    await truncate(await put('id_ed25519_vm01', ''), 65_537)
    expect(await failure()).toMatchObject({ code: 'KEY_UNUSABLE', message: about('larger than 64 KiB') })
  })

  it('that is the public key by mistake is named as that', async () => {
    const identityFile = await put('id.pub', `${plain.publicKey}\n`)
    const error = await failure({ identityFile })
    expect(error).toMatchObject({ code: 'KEY_UNUSABLE', message: about('it is a public key') })
    expect(error.hint).toContain('.pub')
  })

  it('never has its content in an error', async () => {
    await put('id_ed25519_vm01', plain.privateKey.slice(0, 200))
    const error = await failure()
    expect(JSON.stringify(error)).not.toContain(plain.privateKey.split('\n')[1]?.slice(0, 16))
  })

  it('whose name would move the cursor is named with that made visible', async () => {
    const identityFile = join(directory, 'a\u001b[2Jb')
    expect((await failure({ identityFile })).message).toContain(String.raw`a\x1b[2Jb`)
  })
})

describe('an encrypted key', () => {
  const asked: string[] = []
  const askPassphrase = (label: string): Promise<Secret> => {
    asked.push(label)
    return Promise.resolve(new Secret('typed'))
  }
  const passphraseOf = ([identity]: readonly Identity[]): string | undefined =>
    identity?.kind === 'key' ? identity.passphrase?.reveal() : undefined
  beforeEach(() => {
    asked.length = 0
  })

  it('takes its passphrase from the environment, and nobody is asked', async () => {
    await put('id_ed25519_vm01', encrypted.privateKey)
    const found = await find({}, { env: { REMEX_KEY_PASSPHRASE: 'open sesame' }, askPassphrase })
    expect(passphraseOf(found)).toBe('open sesame')
    expect(asked).toEqual([])
    expect(JSON.stringify(found)).not.toContain('open sesame')
  })

  it('asks for its passphrase where there is somebody to ask', async () => {
    const path = await put('id_ed25519_vm01', encrypted.privateKey)
    expect(passphraseOf(await find({}, { env: { REMEX_KEY_PASSPHRASE: '' }, askPassphrase }))).toBe('typed')
    expect(asked).toEqual([path])
  })

  it('without either is refused, and both ways are named', async () => {
    await put('id_ed25519_vm01', encrypted.privateKey)
    const error = await failure()
    expect(error).toMatchObject({ code: 'KEY_UNUSABLE', message: about('encrypted') })
    expect(error.hint).toMatch(/terminal.*REMEX_KEY_PASSPHRASE/)
  })

  it('passes on that the question was given up', async () => {
    await put('id_ed25519_vm01', encrypted.privateKey)
    const givenUp = new Error('given up')
    await expect(find({}, { askPassphrase: () => Promise.reject(givenUp) })).rejects.toBe(givenUp)
  })

  it('is the only one that gets a passphrase', async () => {
    await put('id_ed25519_vm01')
    expect(passphraseOf(await find({}, { env: { REMEX_KEY_PASSPHRASE: 'x' }, askPassphrase }))).toBeUndefined()
    expect(asked).toEqual([])
  })
})
