import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test, type TestContext } from 'vitest'
import { formatHostKey, parseHostKey } from '../../src/core/host-key.ts'
import type { Agent, Identity } from '../../src/core/identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { serveKeys, type KeyAgent } from '../../src/transport/openssh/key-agent.ts'
import { collectKeys } from '../../src/transport/openssh/offered-keys.ts'
import { findProgram } from '../../testkit/daemon.ts'
import { startOpensshServer, startSecurityKeyAgent, type OpensshServer, type SecurityKeyAgent, type Skipped } from '../../testkit/index.ts'
import { makeKeyPair, type KeyPair } from '../../testkit/keys.ts'
import { startAgent } from '../../testkit/ssh-agent.ts'

const run = promisify(execFile)
const cleanups: (() => unknown)[] = []

const pairs = {
  'Ed25519': makeKeyPair(),
  'ECDSA on nistp256': makeKeyPair('ecdsa', { bits: 256 }),
  'ECDSA on nistp384': makeKeyPair('ecdsa', { bits: 384 }),
  'ECDSA on nistp521': makeKeyPair('ecdsa', { bits: 521 }),
  'RSA': makeKeyPair('rsa'),
}
const kinds = Object.entries(pairs)
const encrypted = makeKeyPair('ed25519', { passphrase: 'correct horse' })
const certified = makeKeyPair()
const stranger = makeKeyPair()

let place: string
let securityKey: SecurityKeyAgent
let server: OpensshServer | Skipped

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), 'remex-key-agent-'))
  securityKey = await startSecurityKeyAgent()
  const authority = makeKeyPair()
  const files = { ca: authority.privateKey, 'ca.pub': authority.publicKey, key: certified.privateKey, 'key.pub': certified.publicKey }
  for (const [name, text] of Object.entries(files)) await writeFile(join(place, name), `${text}\n`, { mode: 0o600 })
  const authorizedKeys = [...Object.values(pairs), encrypted, securityKey].map(({ publicKey }) => publicKey)
  server = await startOpensshServer({ authorizedKeys, config: [`TrustedUserCAKeys ${join(place, 'ca.pub')}`] })
  if ('skipped' in server) return
  await run('ssh-keygen', ['-q', '-s', join(place, 'ca'), '-I', 'certified', '-n', server.login, join(place, 'key.pub')])
})

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

afterAll(async () => {
  await securityKey.close()
  if (!('skipped' in server)) await server.close()
  await rm(place, { recursive: true })
})

const blobOf = ({ publicKey }: Pick<KeyPair, 'publicKey'>): Buffer => parseHostKey(publicKey)?.blob ?? Buffer.alloc(0)
const keyOf = ({ privateKey }: KeyPair): Identity => ({ kind: 'key', label: 'id_test', data: Buffer.from(privateKey) })

async function serving(...identities: readonly Identity[]): Promise<KeyAgent> {
  const { list } = await collectKeys({ vmId: 'vm01', identities })
  const agent = await serveKeys(join(place, 'ours.sock'), list)
  cleanups.push(agent.close)
  return agent
}

/** A real ssh-agent with these keys. */
async function upstream(context: TestContext, ...keys: readonly KeyPair[]): Promise<Agent> {
  const agent = await startAgent(keys)
  if ('skipped' in agent) return context.skip(agent.skipped)
  cleanups.push(agent.close)
  return { kind: 'agent', socketPath: agent.socketPath }
}

/** What `echo hello` on the server says to the machine's own ssh, which has nothing but our agent. */
async function hello(context: TestContext, agent: KeyAgent, ...more: readonly string[]): Promise<string> {
  if ('skipped' in server) return context.skip(server.skipped)
  const options = [`IdentityAgent=${agent.socketPath}`, 'IdentityFile=none', `UserKnownHostsFile=${server.knownHostsPath}`, 'BatchMode=yes', ...more]
  const words = ['-F', 'none', ...options.flatMap((option) => ['-o', option]), '-p', String(server.port), `${server.login}@${server.address}`, 'echo hello']
  return (await run('ssh', words)).stdout
}

const signers = ({ signed }: KeyAgent): Buffer[] => [...signed].map(({ blob }) => blob)

describe.skipIf(!findProgram('ssh'))('ssh', () => {
  test.for(kinds)('logs in with a key of ours: %s', async ([, pair], context) => {
    const agent = await serving(keyOf(stranger), keyOf(pair))
    expect(await hello(context, agent)).toBe('hello\n')
    expect(signers(agent)).toEqual([blobOf(pair)])
  })

  test.for(['rsa-sha2-256', 'rsa-sha2-512'])('logs in by %s where that is what it may use', async (algorithm, context) => {
    const agent = await serving(keyOf(pairs.RSA))
    expect(await hello(context, agent, `PubkeyAcceptedAlgorithms=${algorithm}`)).toBe('hello\n')
  })

  test('logs in with an encrypted key without being told its passphrase', async (context) => {
    const agent = await serving({ kind: 'key', label: 'id_test', data: Buffer.from(encrypted.privateKey), passphrase: new Secret('correct horse') })
    expect(await hello(context, agent)).toBe('hello\n')
  })

  test.for(kinds)('logs in with a key of another agent: %s', async ([, pair], context) => {
    const agent = await serving(await upstream(context, stranger, pair))
    expect(await hello(context, agent)).toBe('hello\n')
    expect(signers(agent)).toEqual([blobOf(pair)])
  })

  test('logs in with a security key, which is touched once', async (context) => {
    const before = securityKey.touched
    const agent = await serving(keyOf(stranger), { kind: 'agent', socketPath: securityKey.socketPath })
    expect(await hello(context, agent)).toBe('hello\n')
    expect(securityKey.touched - before).toBe(1)
    expect(signers(agent)).toEqual([blobOf(securityKey)])
  })

  test('logs in with a certificate that it has as a file, by our key', async (context) => {
    const agent = await serving(keyOf(certified))
    await expect(hello(context, agent)).rejects.toThrow(/Permission denied/)
    expect(await hello(context, agent, `CertificateFile=${join(place, 'key-cert.pub')}`)).toBe('hello\n')
    expect(signers(agent)).toEqual([blobOf(certified)])
  })

  test.for(['with its key', 'alone'])('logs in with a certificate of another agent, %s', async (which, context) => {
    const other = await upstream(context)
    // ssh-add takes the certificate beside the key with it.
    await run('ssh-add', ['-q', join(place, 'key')], { env: { ...process.env, SSH_AUTH_SOCK: other.socketPath } })
    const { list } = await collectKeys({ vmId: 'vm01', identities: [other] })
    const certificate = list.find(({ type }) => type === 'ssh-ed25519-cert-v01@openssh.com')?.blob ?? Buffer.alloc(0)
    const agent = await serving(which === 'alone' ? { ...other, only: certificate } : other)
    expect(await hello(context, agent)).toBe('hello\n')
  })

  test('is refused with keys that open nothing, of which none has signed', async (context) => {
    const agent = await serving(keyOf(stranger), await upstream(context, makeKeyPair()))
    await expect(hello(context, agent)).rejects.toThrow(/Permission denied/)
    expect(signers(agent)).toEqual([])
  })

  test('logs in with a key that its agent holds back for this very host, and not with one for another', async (context) => {
    if ('skipped' in server) return context.skip(server.skipped)
    const other = await upstream(context)
    const [shown] = server.hostKeys
    const lines = [`here ${shown ? formatHostKey(shown) : ''}`, `elsewhere ${stranger.publicKey}`]
    await writeFile(join(place, 'hosts'), `${lines.join('\n')}\n`)
    await writeFile(join(place, 'bound'), pairs.Ed25519.privateKey, { mode: 0o600 })
    const add = (host: string): Promise<unknown> => run('ssh-add', ['-q', '-H', join(place, 'hosts'), '-h', host, join(place, 'bound')], { env: { ...process.env, SSH_AUTH_SOCK: other.socketPath } })
    // The option came with OpenSSH 8.9.
    if (!(await add('elsewhere').then(() => true, () => false))) return context.skip('this ssh-add knows no -h')
    const agent = await serving(other)
    await expect(hello(context, agent)).rejects.toThrow(/Permission denied/)
    await agent.close()
    await add('here')
    expect(await hello(context, await serving(other))).toBe('hello\n')
  })
})
