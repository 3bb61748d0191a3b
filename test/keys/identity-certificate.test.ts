import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { RemexError } from '../../src/core/errors.ts'
import { fingerprint, formatHostKey, parseHostKey } from '../../src/core/host-key.ts'
import type { Identity } from '../../src/core/identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { findIdentities, type IdentityRequest } from '../../src/keys/identities.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import { failureOf } from '../failure-of.ts'
import { signKey } from './certificate-samples.ts'
import { opensshKeyFile, sampleSecurityKey } from './private-key-samples.ts'
import { hasSshKeygen } from './ssh-keygen.ts'

const authority = makeKeyPair()
const ours = makeKeyPair()
const other = makeKeyPair()
const blobOf = (publicKey: string): Buffer => parseHostKey(publicKey)?.blob ?? Buffer.alloc(0)
const about = (text: string): unknown => expect.stringContaining(text)

let root = ''
let directory = ''
let env: { SSH_AUTH_SOCK: string }
let agent: Server | undefined

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'remex-identity-certificates-'))
  env = { SSH_AUTH_SOCK: join(root, 'agent') }
  const server = createServer()
  agent = server
  await new Promise<void>((resolve) => server.listen(env.SSH_AUTH_SOCK, resolve))
})
afterAll(async () => {
  agent?.close()
  await rm(root, { recursive: true, force: true })
})
beforeEach(async () => {
  directory = await mkdtemp(join(root, 'case-'))
})

async function put(name: string, text: string): Promise<string> {
  const path = join(directory, name)
  await writeFile(path, text, { mode: 0o600 })
  return path
}

const sign = (name: string, publicKey = ours.publicKey, ...options: readonly string[]): Promise<string> => signKey(directory, { authority, publicKey, options, path: join(directory, name) })

function find(request: Partial<IdentityRequest>, context: { readonly SSH_AUTH_SOCK?: string } = {}): Promise<readonly Identity[]> {
  const all = { vmId: 'vm01', identityFile: undefined, keyStoragePath: directory, keyStorageConfigured: true, ...request }
  return findIdentities(all, { env: context, askPassphrase: () => Promise.resolve(new Secret('x')) })
}

const failure = (request: Partial<IdentityRequest>, context = {}): Promise<RemexError> => failureOf(find(request, context))
const labels = (identities: readonly Identity[]): unknown => identities.map((one) => [one.kind, one.kind === 'password' ? undefined : one.certificate?.label])

describe.skipIf(!hasSshKeygen)('a certificate beside a key', () => {
  it('goes with identity_file', async () => {
    const identityFile = await put('special', ours.privateKey)
    await sign('special-cert.pub')
    const [identity] = await find({ identityFile })
    expect(identity).toMatchObject({ kind: 'key', label: 'special', certificate: { label: 'special-cert.pub', type: 'ssh-ed25519-cert-v01@openssh.com' } })
  })

  it('goes with a key of the key store, and not with the agent after it', async () => {
    await put('id_ed25519_vm01', ours.privateKey)
    await sign('id_ed25519_vm01-cert.pub')
    expect(labels(await find({}, env))).toEqual([['key', 'id_ed25519_vm01-cert.pub'], ['agent', undefined]])
  })

  it('goes with an encrypted key, whose public half is not', async () => {
    const encrypted = makeKeyPair('ed25519', { passphrase: 'x' })
    const identityFile = await put('locked', encrypted.privateKey)
    await sign('locked-cert.pub', encrypted.publicKey)
    expect(labels(await find({ identityFile }))).toEqual([['key', 'locked-cert.pub']])
  })

  it('goes with one key of the agent, beside its public half', async () => {
    const identityFile = await put('special.pub', ours.publicKey)
    await sign('special-cert.pub')
    expect(labels(await find({ identityFile }, env))).toEqual([['agent', 'special-cert.pub']])
  })

  it('goes with a key of another format where its public half is beside it', async () => {
    const pem = generateKeyPairSync('rsa', { modulusLength: 2048, privateKeyEncoding: { format: 'pem', type: 'pkcs1' }, publicKeyEncoding: { format: 'pem', type: 'spki' } })
    const identityFile = await put('old', pem.privateKey)
    const { stdout: publicKey } = await promisify(execFile)('ssh-keygen', ['-y', '-f', identityFile])
    await sign('old-cert.pub', publicKey.trim())
    expect(labels(await find({ identityFile }))).toEqual([['key', undefined]])
    await put('old.pub', publicKey)
    expect(labels(await find({ identityFile }))).toEqual([['key', 'old-cert.pub']])
  })

  it('is left alone where it is of another key, of a host, or cannot be read', async () => {
    const identityFile = await put('special', ours.privateKey)
    const spoil = [
      () => sign('special-cert.pub', other.publicKey),
      () => sign('special-cert.pub', ours.publicKey, '-h'),
      () => put('special-cert.pub', 'nonsense'),
      () => rm(join(directory, 'special-cert.pub')).then(() => mkdir(join(directory, 'special-cert.pub'))),
    ]
    for (const one of spoil) {
      await one()
      expect(labels(await find({ identityFile }))).toEqual([['key', undefined]])
    }
  })

  it('is taken where it has expired: the clock of the server counts', async () => {
    const identityFile = await put('special', ours.privateKey)
    await sign('special-cert.pub', ours.publicKey, '-V', '20200101:20200102')
    expect(labels(await find({ identityFile }))).toEqual([['key', 'special-cert.pub']])
  })
})

describe.skipIf(!hasSshKeygen)('identity_certificate', () => {
  it('is taken in place of the one beside the key', async () => {
    await put('id_ed25519_vm01', ours.privateKey)
    await sign('id_ed25519_vm01-cert.pub')
    const identityCertificate = await sign('named.pub', ours.publicKey, '-n', 'ada')
    expect(labels(await find({ identityCertificate }, env))).toEqual([['key', 'named.pub'], ['agent', undefined]])
    const identityFile = await put('public.pub', ours.publicKey)
    expect(labels(await find({ identityFile, identityCertificate }, env))).toEqual([['agent', 'named.pub']])
  })

  it('picks its key among the agent’s where there is no key of our own', async () => {
    const identityCertificate = await sign('named.pub')
    expect(await find({ identityCertificate }, env)).toEqual([
      { kind: 'agent', socketPath: env.SSH_AUTH_SOCK, only: blobOf(ours.publicKey), certificate: { label: 'named.pub', type: 'ssh-ed25519-cert-v01@openssh.com', blob: expect.any(Buffer) } },
    ])
    expect(await failure({ identityCertificate })).toMatchObject({ code: 'KEY_NOT_FOUND', message: about('no ssh-agent is running') })
  })

  it('of another key than the one in use is refused, with both fingerprints', async () => {
    const identityCertificate = await sign('named.pub', other.publicKey)
    for (const identityFile of [await put('special', ours.privateKey), await put('special.pub', ours.publicKey)]) {
      const error = await failure({ identityFile, identityCertificate }, env)
      expect(error).toMatchObject({ code: 'KEY_UNUSABLE', vmId: 'vm01', message: about(`of the key ${fingerprint(blobOf(other.publicKey))}`) })
      expect(error.message).toContain(`${identityFile} is ${fingerprint(blobOf(ours.publicKey))}`)
    }
  })

  it('of a host is refused, with how it is made for a user', async () => {
    const identityFile = await put('special', ours.privateKey)
    const identityCertificate = await sign('host.pub', ours.publicKey, '-h', '-n', 'vm01')
    expect(await failure({ identityFile, identityCertificate })).toMatchObject({ code: 'KEY_UNUSABLE', message: about('certificate of a host'), hint: about('without -h') })
  })

  it('that has expired is taken: the clock of the server counts', async () => {
    const identityFile = await put('special', ours.privateKey)
    const identityCertificate = await sign('late.pub', ours.publicKey, '-V', '20200101:20200102')
    expect(labels(await find({ identityFile, identityCertificate }))).toEqual([['key', 'late.pub']])
  })

  it('that is not there, or is something else, is refused', async () => {
    const identityFile = await put('special', ours.privateKey)
    const identityCertificate = join(directory, 'nowhere')
    expect(await failure({ identityFile, identityCertificate })).toMatchObject({ code: 'KEY_NOT_FOUND', message: about(identityCertificate), hint: about('identity_certificate') })
    for (const path of [directory, identityFile, await put('plain.pub', ours.publicKey)]) {
      expect(await failure({ identityFile, identityCertificate: path })).toMatchObject({ code: 'KEY_UNUSABLE', message: about(`the certificate ${path} of vm01 cannot be used`) })
    }
    await promisify(execFile)('mkfifo', [join(directory, 'fifo')])
    expect(await failure({ identityFile, identityCertificate: join(directory, 'fifo') })).toMatchObject({ code: 'KEY_UNUSABLE', message: about('not a regular file') })
  })

  it('of a key whose public half nothing tells is refused, with how it is had', async () => {
    const pem = generateKeyPairSync('ed25519', { privateKeyEncoding: { format: 'pem', type: 'pkcs8' }, publicKeyEncoding: { format: 'pem', type: 'spki' } })
    const identityFile = await put('old', pem.privateKey)
    const identityCertificate = await sign('named.pub')
    expect(await failure({ identityFile, identityCertificate })).toMatchObject({ code: 'KEY_UNUSABLE', hint: `ssh-keygen -y -f ${identityFile} >${identityFile}.pub` })
  })

  it('named as identity_file is refused, with where it belongs', async () => {
    const identityFile = await sign('named-cert.pub')
    for (const context of [env, {}]) {
      expect(await failure({ identityFile }, context)).toMatchObject({ code: 'KEY_UNUSABLE', message: about('it is a certificate'), hint: about('identity_certificate') })
    }
  })
})

describe('a host that may be left to the settings of ssh', () => {
  it('has no identity where there is no key of our own, with an agent or without', async () => {
    expect(await find({ mayBeNone: true })).toEqual([])
    expect(await find({ mayBeNone: true }, env)).toEqual([])
  })

  it('has its own key where there is one', async () => {
    const identityFile = await put('id_ed25519_vm01', ours.privateKey)
    expect(labels(await find({ mayBeNone: true }, env))).toEqual([['key', undefined], ['agent', undefined]])
    expect(labels(await find({ mayBeNone: true, identityFile }, env))).toEqual([['key', undefined]])
  })

  it('still needs what is named, and a directory that is configured', async () => {
    expect(await failure({ mayBeNone: true, identityFile: join(directory, 'nowhere') })).toMatchObject({ code: 'KEY_NOT_FOUND' })
    expect(await failure({ mayBeNone: true, keyStoragePath: join(directory, 'none') })).toMatchObject({ code: 'KEY_UNUSABLE' })
    expect(await find({ mayBeNone: true, keyStoragePath: join(directory, 'none'), keyStorageConfigured: false })).toEqual([])
  })

  it.skipIf(!hasSshKeygen)('needs the key of the certificate that is named', async () => {
    const identityCertificate = await sign('named.pub')
    expect(labels(await find({ mayBeNone: true, identityCertificate }, env))).toEqual([['agent', 'named.pub']])
    expect(await failure({ mayBeNone: true, identityCertificate })).toMatchObject({ code: 'KEY_NOT_FOUND', hint: about('CertificateFile') })
  })
})

describe('the key file of a security key', () => {
  it.each(['ed25519', 'ecdsa'] as const)('of type %s is used through the agent', async (kind) => {
    const key = sampleSecurityKey(kind)
    const identityFile = await put('id_sk', opensshKeyFile('aes256-ctr', key.blob))
    expect(await find({ identityFile }, env)).toEqual([{ kind: 'agent', socketPath: env.SSH_AUTH_SOCK, only: key.blob }])
    expect(await find({ identityFile: await put('id_sk.pub', formatHostKey(key)) }, env)).toEqual([{ kind: 'agent', socketPath: env.SSH_AUTH_SOCK, only: key.blob }])
  })

  it('without an agent is refused, with how it is added to one', async () => {
    const identityFile = await put('id_sk', opensshKeyFile('none', sampleSecurityKey('ed25519').blob))
    expect(await failure({ identityFile })).toMatchObject({ code: 'KEY_UNUSABLE', message: about('security key'), hint: about(`ssh-add ${identityFile}`) })
  })

  it('in the key store is used through the agent as well', async () => {
    const key = sampleSecurityKey('ed25519')
    await put('id_ed25519_vm01', opensshKeyFile('none', key.blob))
    expect((await find({}, env))[0]).toEqual({ kind: 'agent', socketPath: env.SSH_AUTH_SOCK, only: key.blob })
  })

  it.skipIf(!hasSshKeygen)('has the certificate beside it', async () => {
    const key = sampleSecurityKey('ecdsa')
    const identityFile = await put('id_sk', opensshKeyFile('none', key.blob))
    await sign('id_sk-cert.pub', formatHostKey(key))
    expect(labels(await find({ identityFile }, env))).toEqual([['agent', 'id_sk-cert.pub']])
  })
})

describe('a public key in the key store', () => {
  it('is no key, whatever the agent has', async () => {
    await put('id_ed25519_vm01', ours.publicKey)
    expect(await failure({}, env)).toMatchObject({ code: 'KEY_UNUSABLE', message: about('it is a public key') })
  })
})
