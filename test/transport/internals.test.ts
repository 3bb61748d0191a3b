import { afterEach, expect, test } from 'vitest'
import ssh2 from 'ssh2'
import { closeChannel, ignoreHostKeys, nextChannelNumber } from '../../src/transport/ssh2/internals.ts'
import { startSshServer, type TestSshServer } from '../../testkit/index.ts'

const servers: TestSshServer[] = []

afterEach(async () => {
  for (const server of servers.splice(0)) await server.close()
})

async function loggedIn(): Promise<ssh2.Client> {
  const server = await startSshServer()
  servers.push(server)
  const client = new ssh2.Client()
  const { address: host, port, login: username, privateKey } = server
  await new Promise((resolve, reject) => {
    client.on('ready', () => resolve(undefined)).on('error', reject)
    client.connect({ host, port, username, privateKey, hostVerifier: () => true })
  })
  return client
}

test('ssh2 numbers its channels as we expect, and an open one can be closed by its number', async () => {
  const client = await loggedIn()
  const number = nextChannelNumber(client)
  expect(number).toBe(0)
  const closed = new Promise((resolve) => client.exec('sleep 60', (_error, channel) => {
    expect(nextChannelNumber(client)).toBe(1)
    channel.on('close', resolve).resume()
    expect(closeChannel(client, number)).toBe(true)
  }))
  await closed
  expect(closeChannel(client, number)).toBe(false)
  client.end()
})

test('what ssh2 does not have any more is not known, and does no harm', () => {
  const client = new ssh2.Client()
  expect(nextChannelNumber(client)).toBeUndefined()
  expect(closeChannel(client, 7)).toBe(false)
  expect(closeChannel(client, undefined)).toBe(false)
  expect(() => ignoreHostKeys(client)).not.toThrow()
})
