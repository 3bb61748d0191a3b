import { execFile } from 'node:child_process'
import { access } from 'node:fs/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findProgram } from '../../testkit/daemon.ts'
import { startDropbearServer, type DropbearServer } from '../../testkit/dropbear-server.ts'
import { exec, logIn, runOn } from './ssh-client.ts'

const run = promisify(execFile)
const isRoot = process.getuid?.() === 0

describe.skipIf(findProgram('dropbear') === undefined || !isRoot)('startDropbearServer', () => {
  let server: DropbearServer
  beforeAll(async () => {
    server = await start()
  })
  afterAll(() => server.close())

  async function start(): Promise<DropbearServer> {
    const started = await startDropbearServer({ hostKeyKinds: ['ed25519', 'ecdsa'] })
    if ('skipped' in started) throw new Error(started.skipped)
    return started
  }

  test('serves its default login with the key and the host keys that it hands out', async () => {
    const client = await logIn(server)
    expect(await runOn(client, 'id -un; echo err >&2; exit 3')).toEqual({ stdout: `${server.login}\n`, stderr: 'err\n', code: 3, signal: undefined })
    client.end()
    expect(server.hostKeys.map((key) => key.type)).toEqual(['ssh-ed25519', 'ecdsa-sha2-nistp256'])
    expect(await server.log()).toContain('Pubkey auth succeeded')
  })

  test('makes users with other login shells', async () => {
    const user = await server.testUser('/bin/bash')
    const client = await logIn(server, { username: user.name })
    expect((await runOn(client, 'echo "$0 $HOME"')).stdout).toBe(`bash ${user.home}\n`)
    client.end()
  })

  test('leaves no process, user or file behind when it is closed', async () => {
    const own = await start()
    const client = await logIn(own)
    await exec(client, 'setsid sleep 776655 & sleep 776655')
    await own.close()
    const { stdout } = await run('ps', ['-eo', 'args'])
    expect(stdout).not.toContain('sleep 776655')
    await expect(run('id', [own.login])).rejects.toThrow(/no such user/)
    await expect(access(own.privateKeyPath)).rejects.toThrow(/ENOENT/)
  })
})

describe.skipIf(isRoot)('startDropbearServer as an ordinary user', () => {
  test('says why it does not start', async () => {
    expect(await startDropbearServer()).toHaveProperty('skipped')
  })
})
