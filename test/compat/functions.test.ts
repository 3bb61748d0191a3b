import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import {
  AuthenticationError, CommandTimeoutError, downloadFile, executeRemoteCommand, executeRemoteScript, HostKeyMismatchError, RemexError, RemoteExecutionResult, SSHConnectionError, uploadFile,
} from '../../src/index.ts'
import * as faults from '../../testkit/fault-servers.ts'
import { startSshServer, type TestSshServer } from '../../testkit/ssh-server.ts'
import { fleetOf, type Members, type TestFleet } from '../interop/fleet-of.ts'

let server: TestSshServer
let fleet: TestFleet
let config: Record<string, unknown>
beforeAll(async () => {
  server = await startSshServer()
  fleet = await fleetOf({ vm01: server })
  config = fleet.config
})
afterAll(async () => {
  await fleet[Symbol.asyncDispose]()
  await server.close()
})

const failureOf = (work: Promise<unknown>): Promise<unknown> => work.then(() => 'it succeeded', (error: unknown) => error)

describe('executeRemoteCommand', () => {
  it('takes host, command, user and timeout in this order, and gives the result of the original', async () => {
    const result = await executeRemoteCommand('vm01', 'echo out; echo err >&2; exit 4', 'operator', 30, { config })
    expect(result).toBeInstanceOf(RemoteExecutionResult)
    expect(result).toMatchObject({ stdout: 'out\n', stderr: 'err\n', exitCode: 4, success: false, vmId: 'vm01', command: 'echo out; echo err >&2; exit 4', user: 'operator' })
    expect(result.executionTime).toBeGreaterThan(0)
    expect(new Date(result.timestamp).getTime()).toBeGreaterThan(Date.now() - 60_000)
    expect((await fleet.records()).at(-1)).toMatchObject({ user_id: 'operator', vm_id: 'vm01', status: 'error', exit_code: 4 })
  })

  it('takes the directory and the environment, and a timeout as a duration', async () => {
    const options = { config, workingDirectory: '/', environment: { A: 'a b' } }
    expect(await executeRemoteCommand('vm01', 'pwd; echo "$A"', 'operator', '30s', options)).toMatchObject({ stdout: '/\na b\n', success: true })
  })

  it('throws CommandTimeoutError at its deadline, with the output so far and the verdict', async () => {
    const error = await failureOf(executeRemoteCommand('vm01', 'echo begun; sleep 14; :', 'operator', 0.5, { config }))
    expect(error).toBeInstanceOf(CommandTimeoutError)
    expect(error).toMatchObject({ code: 'TIMED_OUT', vmId: 'vm01', name: 'CommandTimeoutError', mayHaveRun: true, result: { stdout: 'begun\n', ended: 'timed_out', killed: { survivors: [], scope: 'tree' } } })
  })

  it.each<[string, () => Promise<Members[string] & AsyncDisposable>, typeof RemexError, string]>([
    ['SSHConnectionError for a host that is not reached', faults.refusesConnection, SSHConnectionError, 'UNREACHABLE'],
    ['SSHConnectionError for a connection that breaks', faults.dropsAfterExecStarted, SSHConnectionError, 'CONNECTION_LOST'],
    ['AuthenticationError for a login that is refused', faults.rejectsAuthentication, AuthenticationError, 'AUTH_FAILED'],
    ['HostKeyMismatchError for a host key that is not the known one', async () => {
      const changed = await faults.changedHostKey()
      return { server: changed, knownHosts: changed.staleKnownHosts, [Symbol.asyncDispose]: () => changed.close() }
    }, HostKeyMismatchError, 'HOST_KEY_CHANGED'],
  ])('throws %s', async (_what, start, kind, code) => {
    await using member = await start()
    await using other = await fleetOf({ vm01: member })
    const error = await failureOf(executeRemoteCommand('vm01', 'true', 'operator', 30, { config: other.config }))
    expect(error).toBeInstanceOf(kind)
    expect(error).toBeInstanceOf(RemexError)
    expect(error).toMatchObject({ code, vmId: 'vm01', result: { vmId: 'vm01' } })
  })

  it('refuses a host that may not be used, and the audit log has it', async () => {
    expect(await failureOf(executeRemoteCommand('vm09', 'true', 'operator', 30, { config }))).toMatchObject({ code: 'HOST_UNKNOWN' })
    expect((await fleet.records()).at(-1)).toMatchObject({ event: 'denied', vm_id: 'vm09', user_id: 'operator', command: 'true' })
  })
})

describe('executeRemoteScript', () => {
  it('runs what is on the host, with arguments and an interpreter', async () => {
    await writeFile(join(server.home, 'there.sh'), 'echo "there $1"\n')
    expect(await executeRemoteScript('vm01', 'there.sh', 'operator', 30, { config, interpreter: 'sh', args: ['a b'] })).toMatchObject({ stdout: 'there a b\n', operation: 'script', success: true })
  })

  it('sends the script first where that is asked for, and leaves it there', async () => {
    const local = join(fleet.folder, 'local.sh')
    await writeFile(local, '#!/bin/sh\necho "sent $1"; exit 5\n')
    const remote = join(server.home, 'sent one.sh')
    const options = { config, uploadFirst: true, localScriptPath: local, args: ['x'], retries: 2, verifyChecksum: true }
    expect(await executeRemoteScript('vm01', remote, 'operator', 30, options)).toMatchObject({ stdout: 'sent x\n', exitCode: 5 })
    expect(await readFile(remote, 'utf8')).toContain('sent $1')
  })

  it('refuses to send a script that was not named, in place of running what is there', async () => {
    expect(await failureOf(executeRemoteScript('vm01', 'there.sh', 'operator', 30, { config, uploadFirst: true }))).toMatchObject({ code: 'USAGE', message: expect.stringMatching(/localScriptPath/) as string })
  })

  it('throws CommandTimeoutError at its deadline', async () => {
    await writeFile(join(server.home, 'slow.sh'), 'echo slow; sleep 13; :\n')
    expect(await failureOf(executeRemoteScript('vm01', 'slow.sh', 'operator', 0.5, { config, interpreter: 'sh' }))).toMatchObject({ name: 'CommandTimeoutError', result: { stdout: 'slow\n' } })
  })
})

describe('uploadFile and downloadFile', () => {
  it('take host, source, target and user in this order, and resolve with nothing', async () => {
    const local = join(fleet.folder, 'data')
    await writeFile(local, 'data')
    expect(await uploadFile('vm01', local, 'data-there', 'operator', { config })).toBeUndefined()
    expect(await readFile(join(server.home, 'data-there'), 'utf8')).toBe('data')
    expect(await downloadFile('vm01', 'data-there', `${local}-back`, 'operator', { config, timeout: 30, retries: 1 })).toBeUndefined()
    expect(await readFile(`${local}-back`, 'utf8')).toBe('data')
    const last = (await fleet.records()).filter(({ event }) => event === 'finish').slice(-2)
    expect(last).toMatchObject([{ operation: 'upload', user_id: 'operator', status: 'success' }, { operation: 'download', status: 'success' }])
  })

  it('do not ask the host for a checksum where that is not wanted', async () => {
    await using other = await startSshServer()
    await using own = await fleetOf({ vm01: other })
    const local = join(own.folder, 'data')
    await writeFile(local, 'data')
    await uploadFile('vm01', local, 'data', 'operator', { config: own.config, verifyChecksum: false })
    await downloadFile('vm01', 'data', `${local}-back`, 'operator', { config: own.config, verifyChecksum: false })
    expect(other.execs.filter((text) => text.includes('sha256'))).toEqual([])
    await uploadFile('vm01', local, 'data', 'operator', { config: own.config })
    expect(other.execs.filter((text) => text.includes('sha256'))).toHaveLength(1)
  })

  it('tell a missing local file from a missing remote one', async () => {
    expect(await failureOf(uploadFile('vm01', join(fleet.folder, 'no'), 'x', 'operator', { config }))).toMatchObject({ code: 'LOCAL_NOT_FOUND' })
    expect(await failureOf(downloadFile('vm01', 'no', join(fleet.folder, 'x'), 'operator', { config }))).toMatchObject({ code: 'REMOTE_NOT_FOUND' })
  })
})

describe('all four', () => {
  const calls = (options: Record<string, unknown>): readonly (readonly [string, () => Promise<unknown>])[] => [
    ['executeRemoteCommand', () => executeRemoteCommand('vm01', 'true', 'operator', 30, options)],
    ['executeRemoteScript', () => executeRemoteScript('vm01', 's', 'operator', 30, options)],
    ['uploadFile', () => uploadFile('vm01', '/etc/hostname', 'x', 'operator', options)],
    ['downloadFile', () => downloadFile('vm01', 'x', 'x', 'operator', options)],
  ]

  it.each(calls({}).map(([name], index) => [name, index] as const))('%s refuses an option that there is not, and no attempts at all', async (_name, index) => {
    const call = (options: Record<string, unknown>): Promise<unknown> => failureOf(calls(options)[index]?.[1]() ?? Promise.resolve())
    expect(await call({ config, worknigDirectory: '/' })).toMatchObject({ code: 'USAGE', message: expect.stringContaining('worknigDirectory') as string })
    expect(await call({ config, retries: 0 })).toMatchObject({ code: 'USAGE', message: expect.stringContaining('retries') as string })
    expect(await call({ config: {} })).toMatchObject({ code: 'CONFIG_INVALID' })
    expect(await call({ configPath: '/nowhere/config.yml' })).toMatchObject({ code: 'CONFIG_NOT_FOUND', message: expect.stringContaining('/nowhere/config.yml') as string })
  })
})

describe('a configuration file of the original service', () => {
  it('works with nothing changed but addresses', async () => {
    await using own = await startSshServer({ users: [{ name: 'thadmin', publicKeys: [] }] })
    const home = await mkdtemp(join(tmpdir(), 'remex-original-'))
    vi.stubEnv('HOME', home)
    vi.stubEnv('XDG_STATE_HOME', undefined)
    vi.stubEnv('REMEX_STATE_DIR', undefined)
    try {
      const text = await readFile(join(import.meta.dirname, '../config/fixtures/original-config.yml'), 'utf8')
      const configPath = join(home, 'config.yml')
      await writeFile(configPath, text.replace('ip: "10.0.0.10"', `ip: "${own.address}"`).replace('ssh_port: 22', `ssh_port: ${own.port}`))
      const keys = join(home, '.ssh/th_timmy_keys')
      await mkdir(keys, { recursive: true, mode: 0o700 })
      await writeFile(join(keys, 'id_ed25519_vm01'), own.privateKey, { mode: 0o600 })
      await writeFile(join(home, '.ssh/known_hosts'), own.knownHosts)
      expect(await executeRemoteCommand('vm01', 'echo "$USER"', 'operator', 30, { configPath })).toMatchObject({ stdout: 'thadmin\n', success: true })
      expect(await failureOf(executeRemoteCommand('vm03', 'true', 'operator', 30, { configPath }))).toMatchObject({ code: 'HOST_NOT_ALLOWED' })
      expect(await readFile(join(home, '.local/state/remex/audit/audit.jsonl'), 'utf8')).toContain('"user_id":"operator"')
    } finally {
      vi.unstubAllEnvs()
      await rm(home, { recursive: true })
    }
  })
})
