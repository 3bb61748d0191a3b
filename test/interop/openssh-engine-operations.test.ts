import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Secret } from '../../src/core/secret.ts'
import type { Host } from '../../src/fleet/host.ts'
import { changedHostKey, refusesConnection, rejectsAuthentication } from '../../testkit/fault-servers.ts'
import type { OpensshServer } from '../../testkit/openssh-server.ts'
import { until } from '../../testkit/until.ts'
import { failureOf } from '../failure-of.ts'
import { fleetOf, type TestFleet } from './fleet-of.ts'
import { acceptedLogins, directoryOn, skipReason, startSshd } from './openssh-here.ts'

const reason = skipReason('ssh', 'sshd')

describe.skipIf(reason !== '')(`with engine: openssh${reason}`, () => {
  let server: OpensshServer
  let fleet: TestFleet
  let host: Host
  beforeAll(async () => {
    server = await startSshd({ maxSessions: 10 })
    fleet = await fleetOf({ vm01: server }, { settings: { engine: 'openssh' } })
    host = fleet.remex.host('vm01')
  })
  afterAll(async () => {
    await fleet[Symbol.asyncDispose]()
    await server.close()
  })

  const left = async (seconds: number): Promise<string> => (await host.run(`ps -eo args | grep "[s]leep ${seconds}"`)).stdout

  it.each<[sentence: string, command: string | readonly string[], expected: object]>([
    ['an exit status is a result', 'exit 255', { ended: 'exited', exitCode: 255, success: false, error: null }],
    ['a signal is told by its name', 'kill -SEGV $$', { ended: 'signaled', signal: 'SEGV', exitCode: null }],
    ['both streams arrive apart', 'echo out; echo err >&2', { stdout: 'out\n', stderr: 'err\n', stdoutBytes: 4, stderrBytes: 4 }],
    ['words are not interpreted', ['printf', '%s|', '$HOME', "it's", 'a\nb', '*'], { stdout: "$HOME|it's|a\nb|*|" }],
    ['standard input is closed unless it is given', 'cat; echo end', { stdout: 'end\n' }],
    ['text longer than an argument may be is run', `: ${'x'.repeat(300_000)}; echo ran`, { stdout: 'ran\n' }],
  ])('%s', async (_sentence, command, expected) => {
    expect(await host.run(command)).toMatchObject({ engine: 'openssh', ...expected })
  })

  it('variables arrive, and no process list shows a secret, here or there', async () => {
    const result = await host.run('printf "%s\\n" "$TOKEN"; ps -eo args', { env: { TOKEN: new Secret('hunter2-by-openssh') } })
    const [first, ...others] = result.stdout.split('\n')
    expect(first).toBe('hunter2-by-openssh')
    expect(others.join('\n')).not.toContain('hunter2-by-openssh')
  })

  it('fifty megabytes pass through standard input and output byte for byte', async () => {
    const block = randomBytes(1 << 20)
    const [sent, came] = [createHash('sha256'), createHash('sha256')]
    const blocks = Array.from({ length: 50 }, () => block)
    for (const each of blocks) sent.update(each)
    const result = await host.run('cat', { stdin: Readable.from(blocks), maxOutputBytes: 1000, onOutput: (_stream, chunk) => void came.update(chunk), timeout: '60s' })
    expect(result).toMatchObject({ exitCode: 0, stdoutBytes: 50 << 20, truncated: true })
    expect(came.digest('hex')).toBe(sent.digest('hex'))
  })

  it('a pty is a terminal', async (context) => {
    if (!server.givesTerminals) context.skip('an sshd that is not root gives no terminals')
    expect((await host.run('test -t 0 && test -t 1 && echo tty', { pty: true })).stdout).toBe('tty\r\n')
  })

  it('a local script is sent, run with its arguments, and removed', async () => {
    const path = join(fleet.folder, 'greet.sh')
    await writeFile(path, '#!/bin/sh\necho "$0" >&2\necho "hello $1"; exit 4\n', { mode: 0o700 })
    const result = await host.script(path, { args: ['a b'] })
    expect(result).toMatchObject({ operation: 'script', stdout: 'hello a b\n', exitCode: 4, engine: 'openssh' })
    expect(await host.run(['test', '-e', result.stderr.trim()])).toMatchObject({ exitCode: 1 })
  })

  it('a deadline ends the whole tree and says what it ended', async () => {
    const result = await host.run('setsid sh -c "trap \\"\\" TERM; sleep 421" & sleep 422; :', { timeout: '300ms' })
    expect(result).toMatchObject({ ended: 'timed_out', success: false, exitCode: null, killed: { survivors: [], scope: 'tree' }, error: { code: 'TIMED_OUT' } })
    expect(result.killed?.ended).toBeGreaterThanOrEqual(4)
    expect([await left(421), await left(422)]).toEqual(['', ''])
  })

  it('a cancel ends the whole tree, and keeps the output so far', async () => {
    const cancel = new AbortController()
    const result = await host.run('echo up; sleep 423; :', { signal: cancel.signal, onOutput: () => cancel.abort() })
    expect(result).toMatchObject({ ended: 'cancelled', stdout: 'up\n', killed: { survivors: [], scope: 'tree' } })
    expect(await left(423)).toBe('')
  })

  it('a cancel while it connects is an end like any other, and nothing is left', async () => {
    for (const afterMs of [0, 5, 20, 40, 80]) {
      const fresh = await fleet.open()
      const running = fresh.host('vm01').run('sleep 424; :', { signal: AbortSignal.timeout(afterMs) })
      const ended = await running.then((result) => result.ended, (error: unknown) => (error as { code: string }).code)
      expect(['cancelled', 'CANCELLED']).toContain(ended)
      await fresh.close()
    }
    await until(async () => (await left(424)) === '', { what: 'the end of what was cancelled' })
  })

  it('a file goes there and comes back the same, and so does a tree', async () => {
    await using there = await directoryOn(host)
    const [tree, back] = [join(fleet.folder, 'tree'), join(fleet.folder, 'back')]
    await mkdir(join(tree, 'deep', 'deeper'), { recursive: true })
    const files = Array.from({ length: 40 }, (_, index) => [join('deep', `file ${index}`), randomBytes(index * 1000)] as const)
    for (const [name, bytes] of files) await writeFile(join(tree, name), bytes)
    expect(await host.put(tree, `${there.path}/tree`, { recursive: true })).toMatchObject({ success: true, engine: 'openssh' })
    expect(await host.get(`${there.path}/tree`, back, { recursive: true })).toMatchObject({ success: true, engine: 'openssh' })
    for (const [name, bytes] of files) expect((await readFile(join(back, name))).equals(bytes)).toBe(true)
    const big = join(fleet.folder, 'big')
    const bytes = randomBytes(20 << 20)
    await writeFile(big, bytes)
    expect(await host.put(big, `${there.path}/big`)).toMatchObject({ verified: true, sizeBytes: bytes.length, hostKey: server.hostKeys[0]?.fingerprint })
    expect(await host.get(`${there.path}/big`, `${big}.back`)).toMatchObject({ verified: true, sizeBytes: bytes.length })
    expect((await readFile(`${big}.back`)).equals(bytes)).toBe(true)
  })

  it('a file that is not there is told as such, and the connection serves on', async () => {
    const before = (await acceptedLogins(server)).length
    expect(await failureOf(host.get('/nonexistent/file', join(fleet.folder, 'nowhere')))).toMatchObject({ code: 'REMOTE_NOT_FOUND' })
    expect(await host.run('echo on')).toMatchObject({ stdout: 'on\n' })
    expect((await acceptedLogins(server)).length).toBe(before)
  })

  it('a key in a format that no engine reads is told as such, and is nobody else’s error', async () => {
    const path = join(fleet.folder, 'pkcs8')
    await writeFile(path, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
    const remex = await fleet.open({ vms: { vm01: { identity_file: path } } })
    expect(await failureOf(remex.host('vm01').run('true'))).toMatchObject({ code: 'KEY_UNUSABLE', mayHaveRun: false, message: expect.stringContaining('pkcs8') })
  })

  it('two hundred runs at once against ten sessions for a connection all come back, each with its own output', async () => {
    await using own = await fleetOf({ vm01: server }, { settings: { engine: 'openssh', connect_timeout: '30s' } })
    const before = (await acceptedLogins(server)).length
    const one = own.remex.host('vm01')
    const results = await Promise.all(Array.from({ length: 200 }, (_, index) => one.run(`sleep 0.2; echo ${index}; echo e${index} >&2; exit ${index % 7}`)))
    const found = results.map(({ stdout, stderr, exitCode, ended }) => `${ended} ${exitCode} ${stdout}${stderr}`)
    expect(found).toEqual(Array.from({ length: 200 }, (_, index) => `exited ${index % 7} ${index}\ne${index}\n`))
    expect((await acceptedLogins(server)).length - before).toBeGreaterThan(1)
  })

  it('a fan-out gives each host its own end, whatever becomes of the others', async () => {
    await using changed = await changedHostKey()
    await using refusing = await rejectsAuthentication()
    await using gone = await refusesConnection()
    await using second = await startSshd()
    const members = { vm01: server, vm02: second, vm03: { server: changed, knownHosts: changed.staleKnownHosts }, vm04: refusing, vm05: gone }
    await using mixed = await fleetOf(members, { settings: { engine: 'openssh' } })
    const ends: Record<string, unknown> = {}
    for await (const { vmId, ended, stdout, error } of mixed.remex.hosts('all').run('echo "$USER"')) ends[vmId] = [ended, stdout, error?.code]
    expect(ends).toEqual({
      vm01: ['exited', `${server.login}\n`, undefined],
      vm02: ['exited', `${second.login}\n`, undefined],
      vm03: ['not_started', '', 'HOST_KEY_CHANGED'],
      vm04: ['not_started', '', 'AUTH_FAILED'],
      vm05: ['not_started', '', 'UNREACHABLE'],
    })
  })

  it('a fan-out over sixteen hosts runs scripts and sends files', async () => {
    const ids = Array.from({ length: 16 }, (_, index) => `host${index}`)
    await using many = await fleetOf(Object.fromEntries(ids.map((id) => [id, server])), { settings: { engine: 'openssh', connect_timeout: '30s' } })
    const path = join(many.folder, 'name.sh')
    await writeFile(path, '#!/bin/sh\necho "named $1"\n', { mode: 0o700 })
    const named: string[] = []
    for await (const { vmId, stdout } of many.remex.hosts('all').script(path, { args: ['x'] })) named.push(`${vmId} ${stdout}`)
    expect(named.toSorted()).toEqual(ids.map((id) => `${id} named x\n`).toSorted())
    await using there = await directoryOn(host)
    const sent: (string | boolean)[] = []
    for await (const { vmId, verified } of many.remex.hosts('host[0-9]').put(path, `${there.path}/name.sh`)) sent.push(vmId, verified)
    expect(sent.filter((value) => value === true)).toHaveLength(10)
  })
})
