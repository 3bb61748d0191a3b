import { once } from 'node:events'
import { access, readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Client } from 'ssh2'
import { afterEach, describe, expect, test } from 'vitest'
import * as faults from '../../testkit/fault-servers.ts'
import { formatHostKey } from '../../src/core/host-key.ts'
import { listenOnLoopback } from '../../testkit/loopback.ts'
import { until } from '../../testkit/until.ts'
import { exec, finish, logIn, runOn } from './ssh-client.ts'

type Started = Awaited<ReturnType<(typeof faults)['delays']>>

const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function started<T extends AsyncDisposable>(starting: Promise<T>): Promise<T> {
  const server = await starting
  cleanups.push(() => server[Symbol.asyncDispose]())
  return server
}

async function client(server: Started, more?: Parameters<typeof logIn>[1]): Promise<Client> {
  const loggedIn = await logIn(server, more)
  cleanups.push(() => loggedIn.destroy())
  return loggedIn
}

/** What arrives on a bare TCP connection, and whether it was closed, before 60 ms of silence. */
async function overTcp(port: number): Promise<{ text: string; closed: boolean }> {
  const socket = connect(port, '127.0.0.1')
  cleanups.push(() => socket.destroy())
  let text = ''
  socket.on('data', (chunk) => (text += String(chunk)))
  const closed = once(socket, 'close').then(() => true)
  await once(socket, 'connect')
  return { closed: await Promise.race([closed, delay(60, false)]), text }
}

describe('a fault server', () => {
  test('silentAfterAccept accepts and says nothing', async () => {
    const server = await started(faults.silentAfterAccept())
    expect(await overTcp(server.port)).toEqual({ closed: false, text: '' })
    expect(server.connections).toBe(1)
  })

  test('closesBeforeBanner accepts and closes', async () => {
    const server = await started(faults.closesBeforeBanner())
    expect(await overTcp(server.port)).toEqual({ closed: true, text: '' })
  })

  test('sendsGarbageBanner says what no SSH server says', async () => {
    const server = await started(faults.sendsGarbageBanner())
    expect(await overTcp(server.port)).toEqual({ closed: false, text: 'SSH-garbage\r\n' })
  })

  test('refusesConnection holds a port that nobody can listen on', async () => {
    const server = await started(faults.refusesConnection())
    await expect(once(connect(server.port, server.address), 'connect')).rejects.toThrow(/ECONNREFUSED/)
    await expect(listenOnLoopback(() => undefined, { port: server.port })).rejects.toThrow(/EADDRINUSE/)
  })

  test('rejectsAuthentication takes not even the right key', async () => {
    const server = await started(faults.rejectsAuthentication())
    await expect(client(server)).rejects.toThrow(/authentication methods failed/)
  })

  test('closesDuringAuthentication breaks the connection after the host key', async () => {
    const server = await started(faults.closesDuringAuthentication())
    let sawHostKey = false
    const hostVerifier = (): boolean => (sawHostKey = true)
    await expect(client(server, { hostVerifier })).rejects.toThrow(/closed before the login/)
    expect(sawHostKey).toBe(true)
  })

  test('dropsAfterExecStarted breaks the connection of a command that runs', async () => {
    const server = await started(faults.dropsAfterExecStarted())
    const ssh = await client(server)
    const channel = await exec(ssh, 'echo started > mark; echo output; sleep 1000')
    expect(await finish(channel)).toMatchObject({ code: null, signal: undefined })
    await until(() => server.openConnections === 0, { what: 'the end of the connection' })
    expect(await readFile(`${server.home}/mark`, 'utf8')).toBe('started\n')
    expect(server.execs).toHaveLength(1)
  })

  test('dropsAfterExecStarted tells nobody the exit status of a command without output', async () => {
    const server = await started(faults.dropsAfterExecStarted())
    const ssh = await client(server)
    const channel = await exec(ssh, 'echo done > mark')
    expect(await finish(channel)).toMatchObject({ code: null, signal: undefined })
    expect(await readFile(`${server.home}/mark`, 'utf8')).toBe('done\n')
  })

  test('dropsBeforeExecReply breaks the connection of a command that it does not run', async () => {
    const server = await started(faults.dropsBeforeExecReply())
    const ssh = await client(server)
    await expect(exec(ssh, 'echo ran > mark')).rejects.toThrow()
    expect(server.execs).toEqual(['echo ran > mark'])
    await expect(access(`${server.home}/mark`)).rejects.toThrow(/ENOENT/)
  })

  test('neverReplies opens the channel and leaves the command unanswered', async () => {
    const server = await started(faults.neverReplies())
    const ssh = await client(server)
    const answer = exec(ssh, 'true').then(() => 'answered', () => 'broken')
    await until(() => server.execs.length === 1, { what: 'the command to arrive' })
    expect(await Promise.race([answer, delay(60, 'silence')])).toBe('silence')
    expect(server.openConnections).toBe(1)
  })

  test('stopsReading lets input pile up at the client', async () => {
    const server = await started(faults.stopsReading())
    const ssh = await client(server)
    const channel = await exec(ssh, 'cat')
    const written = new Promise((resolve) => channel.write(Buffer.alloc(64 * 1024 * 1024), () => resolve('written')))
    expect(await Promise.race([written, delay(150, 'waiting')])).toBe('waiting')
  })

  test('floods writes more than anybody wants', async () => {
    const server = await started(faults.floods())
    const channel = await exec(await client(server), 'noise')
    let bytes = 0
    channel.on('data', (chunk: Buffer) => (bytes += chunk.length))
    await until(() => bytes > 20_000_000, { what: '20 MB' })
    channel.destroy()
  })

  test('refusesEleventhSession opens ten', async () => {
    const ssh = await client(await started(faults.refusesEleventhSession()))
    for (let opened = 0; opened < 10; opened++) await exec(ssh, 'cat')
    await expect(exec(ssh, 'true')).rejects.toThrow(/Channel open failure/)
  })

  test('delays takes its time', async () => {
    const before = performance.now()
    const ssh = await client(await started(faults.delays(50)))
    expect(performance.now() - before).toBeGreaterThanOrEqual(49)
    expect((await runOn(ssh, 'echo late')).stdout).toBe('late\n')
  })

  test.each([
    [undefined, { serverHostKey: ['ssh-rsa'], kex: ['diffie-hellman-group14-sha1'], cipher: ['aes128-cbc'], hmac: ['hmac-sha1'] }],
    ['serverHostKey', { serverHostKey: ['ssh-rsa'] }],
    ['kex', { kex: ['diffie-hellman-group14-sha1'] }],
    ['cipher', { cipher: ['aes128-cbc'] }],
    ['hmac', { cipher: ['aes128-ctr'], hmac: ['hmac-sha1'] }],
  ] as const)('offersOnlyWeakAlgorithms(%s) can be agreed with by a careless client and by no other', async (category, careless) => {
    const server = await started(faults.offersOnlyWeakAlgorithms(category))
    const algorithms = {
      serverHostKey: ['rsa-sha2-512' as const],
      kex: ['ecdh-sha2-nistp256' as const],
      cipher: ['aes256-ctr' as const],
      hmac: ['hmac-sha2-256' as const],
    }
    await expect(client(server, { algorithms })).rejects.toThrow(/no matching/)
    const weak = Object.fromEntries(Object.entries(careless).map(([name, list]) => [name, [...list]]))
    await expect(client(server, { algorithms: { ...algorithms, ...weak } })).resolves.toBeDefined()
  })

  test('rsa1024HostKey shows a small key', async () => {
    const server = await started(faults.rsa1024HostKey())
    // Type, exponent and a modulus of 128 bytes, each with its length: RFC 4253 section 6.6.
    expect(server.hostKeys[0]).toMatchObject({ type: 'ssh-rsa' })
    expect(server.hostKeys[0]?.blob.length).toBe(4 + 7 + 4 + 3 + 4 + 129)
    expect((await runOn(await client(server), 'echo small')).stdout).toBe('small\n')
  })

  test('changedHostKey shows a key that its known_hosts does not have', async () => {
    const server = await started(faults.changedHostKey())
    const [key] = server.hostKeys
    expect(server.staleKnownHosts).toMatch(new RegExp(`^\\[127\\.0\\.0\\.1\\]:${server.port} ssh-ed25519 \\S+\\n$`))
    expect(server.staleKnownHosts).not.toContain(key?.blob.toString('base64'))
    expect(await runOn(await client(server), 'true')).toMatchObject({ code: 0 })
    expect(server.connections).toBe(1)
  })

  test('revokedHostKey shows a key that its known_hosts trusts and revokes', async () => {
    const server = await started(faults.revokedHostKey())
    const line = server.hostKeys.map(formatHostKey).join()
    expect(server.staleKnownHosts).toBe(`[127.0.0.1]:${server.port} ${line}\n@revoked * ${line}\n`)
  })
})
