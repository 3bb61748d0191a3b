import { afterAll, beforeAll, expect, it } from 'vitest'
import { Remex } from '../../src/index.ts'
import { dropsAfterExecStarted, startSshServer, type TestSshServer } from '../../testkit/index.ts'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

let healthy: TestSshServer
let breaking: TestSshServer
let folder: string
let remex: Remex

beforeAll(async () => {
  healthy = await startSshServer()
  breaking = await dropsAfterExecStarted()
  folder = await mkdtemp(join(tmpdir(), 'my-test-'))
  const vms: Record<string, object> = {}
  for (const [id, server] of Object.entries({ vm01: healthy, vm02: breaking })) {
    const key = join(folder, `key-of-${id}`)
    await writeFile(key, server.privateKey, { mode: 0o600 })
    const hostKeys = server.hostKeys.map(({ fingerprint }) => fingerprint)
    vms[id] = { ip: server.address, ssh_port: server.port, ssh_user: server.login, host_key: hostKeys, identity_file: key }
  }
  remex = await Remex.open({ config: { vms, remote_execution: { audit_log_path: join(folder, 'audit') } } })
})

afterAll(async () => {
  await remex.close()
  await Promise.all([healthy.close(), breaking.close()])
  await rm(folder, { recursive: true })
})

it('a command whose connection breaks is lost, and is not started again', async () => {
  await expect(remex.host('vm02').run('echo working')).rejects.toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true })
  expect(breaking.execs.filter((command) => command.includes('echo working'))).toHaveLength(1)
})

it('a command on a host that works is what it is', async () => {
  expect(await remex.host('vm01').run('echo hello')).toMatchObject({ stdout: 'hello\n', exitCode: 0 })
})
