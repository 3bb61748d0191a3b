import { execFile } from 'node:child_process'
import { access } from 'node:fs/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findProgram } from '../../testkit/daemon.ts'
import { startOpensshServer, type OpensshServer } from '../../testkit/openssh-server.ts'
import { findProcesses } from '../../testkit/processes.ts'
import { until } from '../../testkit/until.ts'

const run = promisify(execFile)
const isRoot = process.getuid?.() === 0
const installed = findProgram('sshd') !== undefined && findProgram('ssh') !== undefined

function ssh(server: OpensshServer, ...words: string[]): Promise<{ stdout: string; stderr: string }> {
  const options = ['-F', 'none', '-i', server.privateKeyPath, '-o', `UserKnownHostsFile=${server.knownHostsPath}`, '-o', 'BatchMode=yes']
  return run('ssh', [...options, '-p', String(server.port), ...words])
}

async function sftp(server: OpensshServer, login: string): Promise<string> {
  const options = ['-F', 'none', '-i', server.privateKeyPath, '-o', `UserKnownHostsFile=${server.knownHostsPath}`, '-b', '-']
  const child = run('sftp', [...options, '-P', String(server.port), `${login}@127.0.0.1`])
  child.child.stdin?.end('pwd\n')
  return (await child).stdout
}

/** Command lines of the processes that the test about leftovers starts. */
async function findSleepers(): Promise<string[]> {
  const { stdout } = await run('ps', ['-eo', 'args'])
  return stdout.split('\n').filter((line) => /^sleep 99887[78]$/.test(line))
}

async function started(options?: Parameters<typeof startOpensshServer>[0]): Promise<OpensshServer> {
  const server = await startOpensshServer(options)
  if ('skipped' in server) throw new Error(server.skipped)
  return server
}

describe.skipIf(!installed)('startOpensshServer', () => {
  let server: OpensshServer
  beforeAll(async () => {
    server = await started({ hostKeyKinds: ['ed25519', 'ecdsa', 'rsa'] })
  })
  afterAll(() => server.close())

  test('serves its default login with the key and the host key that it hands out', async () => {
    const { stdout } = await ssh(server, `${server.login}@127.0.0.1`, 'id -un; echo "$0"')
    expect(stdout.split('\n')[0]).toBe(server.login)
  })

  test('shows a host key of each kind that was asked for', () => {
    expect(server.hostKeys.map((key) => key.type).sort()).toEqual(['ecdsa-sha2-nistp256', 'ssh-ed25519', 'ssh-rsa'])
    expect(server.knownHosts.split('\n')).toHaveLength(4)
  })

  test('lets its log be read', async () => {
    await ssh(server, `${server.login}@127.0.0.1`, 'true')
    expect(await until(server.log, { what: 'a log' })).toContain(`Accepted publickey for ${server.login}`)
  })

  test.runIf(isRoot)('makes ordinary users with other login shells', async () => {
    const user = await server.testUser('/bin/bash')
    const { stdout } = await ssh(server, `${user?.name}@127.0.0.1`, 'echo "$0 $BASH_VERSION $HOME"; id -u')
    expect(stdout).toMatch(/^bash \d/)
    expect(stdout).toContain(`${user?.home}\n${user?.uid}\n`)
  })

  test.runIf(isRoot)('opens a login that is there already once it is authorized', async () => {
    await expect(ssh(server, 'root@127.0.0.1', '-s', 'sftp')).rejects.toThrow(/Permission denied/)
    await server.authorize('root')
    const list = await sftp(server, 'root')
    expect(list).toContain('Remote working directory')
  })

  test('ends sessions, and what they left behind, when it is closed', async () => {
    const own = await started()
    await ssh(own, `${own.login}@127.0.0.1`, 'setsid sh -c "sleep 998877 & sleep 998878" >/dev/null 2>&1 & sleep 0.1')
    const marked = await until(async () => findSleepers(), { what: 'sleepers' })
    expect(marked.length).toBeGreaterThan(0)
    await own.close()
    expect(await findSleepers()).toEqual([])
    expect(findProcesses({ roots: [own.pid] })).toEqual([])
    await expect(access(own.privateKeyPath)).rejects.toThrow(/ENOENT/)
    if (isRoot) await expect(run('id', [own.login])).rejects.toThrow(/no such user/)
  })

  test('gives ports and users of their own to servers that start at the same time', async () => {
    const servers = await Promise.all([started(), started(), started()])
    expect(new Set(servers.map((one) => one.port)).size).toBe(3)
    await Promise.all(servers.map((one) => one.close()))
  })

  test('takes lines for sshd_config that overrule its own', async () => {
    const refusing = await started({ config: ['AllowUsers nobody-at-all'] })
    await expect(ssh(refusing, `${refusing.login}@127.0.0.1`, 'true')).rejects.toThrow(/Permission denied/)
    await refusing.close()
  })

  test.each(['internal', 'external'] as const)('serves SFTP with the %s server', async (kind) => {
    const own = await started({ sftp: kind })
    expect(await sftp(own, own.login)).toContain('Remote working directory')
    await own.close()
  })

  test('says why when it does not come up', async () => {
    await expect(startOpensshServer({ config: ['NoSuchKeyword yes'] })).rejects.toThrow(/NoSuchKeyword/)
  })
})
