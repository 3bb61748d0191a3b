import { randomBytes } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { afterEach, expect, test, type TestContext } from 'vitest'
import { remexError } from '../../src/core/errors.ts'
import { ssh2Engine } from '../../src/transport/ssh2/engine.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import { startOpensshServer, startSshServer, type OpensshServer, type OpensshServerOptions } from '../../testkit/index.ts'
import { until } from '../../testkit/until.ts'
import { targetOf } from '../contract/contract-server.ts'

const engine = ssh2Engine()
const cleanups: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
}, 120_000)

async function openssh(context: TestContext, options: OpensshServerOptions): Promise<OpensshServer> {
  const server = await startOpensshServer(options)
  if ('skipped' in server) return context.skip(server.skipped)
  cleanups.push(server.close)
  return server
}

test('a host that is not trusted is not even told who wants to log in', async (context) => {
  const server = await openssh(context, { config: ['LogLevel DEBUG1'] })
  const refusing = targetOf(server, { verifyHostKey: () => { throw remexError('HOST_KEY_UNKNOWN', 'unknown') } })
  await expect(engine.connect(refusing)).rejects.toMatchObject({ code: 'HOST_KEY_UNKNOWN' })
  await until(async () => /preauth/.test(await server.log()), { what: 'sshd to see the end' })
  expect(await server.log()).not.toContain('userauth-request')
  const connection = await engine.connect(targetOf(server))
  connection.close()
  await until(async () => (await server.log()).includes('userauth-request'), { what: 'sshd to log a login at all' })
})

test.for<readonly [string, boolean, readonly string[]]>([
  ['is asked to prove all its keys where that is wanted', true, ['ssh-ed25519', 'ssh-rsa']],
  ['is asked for no proof of its other keys where that is not wanted', false, []],
])('a host %s', async ([, wantsHostKeys, types], context) => {
  const server = await openssh(context, { hostKeyKinds: ['ed25519', 'rsa'], config: ['LogLevel DEBUG1'] })
  const connection = await engine.connect(targetOf(server, { wantsHostKeys }))
  expect((await connection.provenHostKeys()).map(({ type }) => type)).toEqual(types)
  // What it was asked before that is in its log by the time it has run this.
  await buffer((await connection.exec('true')).stdout)
  connection.close()
  await until(async () => (await server.log()).includes('exec'), { what: 'sshd to log the command' })
  expect((await server.log()).includes('hostkeys-prove')).toBe(wantsHostKeys)
})

test('a new key exchange in the middle of a transfer loses no byte either way, and the key is judged once', async (context) => {
  const server = await openssh(context, { config: ['RekeyLimit 1M', 'LogLevel DEBUG1'] })
  const judged: string[] = []
  const connection = await engine.connect(targetOf(server, { verifyHostKey: ({ type }) => void judged.push(type) }))
  const data = randomBytes(20_000_000)
  const channel = await connection.exec('cat')
  channel.stdin.end(data)
  expect((await buffer(channel.stdout)).equals(data)).toBe(true)
  expect(judged).toEqual(['ssh-ed25519'])
  expect((await server.log()).match(/rekey/gi)?.length ?? 0).toBeGreaterThan(5)
  connection.close()
})

test('fetching gives the keys that can be used and leaves the weak ones out', async () => {
  const keys = [makeKeyPair(), makeKeyPair('ecdsa', { bits: 384 }), makeKeyPair('rsa', { bits: 1024 })]
  const server = await startSshServer({ hostKeys: keys.map(({ privateKey }) => privateKey) })
  cleanups.push(server.close)
  const fetched = await engine.fetchHostKeys(targetOf(server))
  expect(fetched.map(({ type }) => type)).toEqual(['ssh-ed25519', 'ecdsa-sha2-nistp384'])
})

test('fetching from a host that has only weak keys says so', async () => {
  const server = await startSshServer({ hostKeys: [makeKeyPair('rsa', { bits: 1024 }).privateKey] })
  cleanups.push(server.close)
  await expect(engine.fetchHostKeys(targetOf(server))).rejects.toMatchObject({ code: 'HANDSHAKE_FAILED' })
})

test('fetching by way of a jump gives all keys too: each has a stream of its own', async (context) => {
  const server = await openssh(context, { hostKeyKinds: ['ed25519', 'rsa'] })
  const outer = await engine.connect(targetOf(server))
  const fetched = await engine.fetchHostKeys({ ...targetOf(server), open: () => outer.forward('127.0.0.1', server.port) })
  expect(fetched.map(({ type }) => type)).toEqual(['ssh-ed25519', 'ssh-rsa'])
  outer.close()
})
