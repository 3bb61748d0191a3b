import { spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RunResult } from '../../src/core/outcome.ts'
import { Secret } from '../../src/core/secret.ts'
import type { Host } from '../../src/fleet/host.ts'
import { startOpensshServer, type OpensshServer } from '../../testkit/openssh-server.ts'
import { until } from '../../testkit/until.ts'
import { fleetOf, type TestFleet } from './fleet-of.ts'

const isRoot = process.getuid?.() === 0
const started = await startOpensshServer()
const server = 'skipped' in started ? undefined : started
const reason = 'skipped' in started ? started.skipped : ''
const LOGIN_SHELLS = ['sh', 'bash', 'zsh', 'fish', 'csh'].map((shell) => ({ shell, path: spawnSync('/bin/sh', ['-c', `command -v ${shell}`], { encoding: 'utf8' }).stdout.trim() }))

afterAll(() => server?.close())

describe.skipIf(!server)(`against the machine’s OpenSSH server${reason && ` (skipped: ${reason})`}`, () => {
  let fleet: TestFleet
  let host: Host
  beforeAll(async () => {
    fleet = await fleetOf({ vm01: server as OpensshServer })
    host = fleet.remex.host('vm01')
  })
  afterAll(() => fleet[Symbol.asyncDispose]())

  it.each([0, 1, 2, 125, 126, 127, 255])('an exit status of %i is a result', async (status) => {
    expect(await host.run(`exit ${status}`)).toMatchObject({ ended: 'exited', exitCode: status, success: status === 0, signal: null, error: null })
  })

  it.each(['TERM', 'KILL', 'SEGV', 'USR1'])('a command that ends by SIG%s says so', async (signal) => {
    expect(await host.run(`kill -${signal} $$`)).toMatchObject({ ended: 'signaled', signal, exitCode: null, success: false })
  })

  it('both streams arrive whole and apart', async () => {
    expect(await host.run('echo out; echo err >&2')).toMatchObject({ stdout: 'out\n', stderr: 'err\n', stdoutBytes: 4, stderrBytes: 4 })
  })

  it('standard input is closed unless it is given', async () => {
    expect(await host.run('cat; echo end')).toMatchObject({ stdout: 'end\n' })
    expect(await host.run('cat', { stdin: 'given\n' })).toMatchObject({ stdout: 'given\n' })
  })

  it('a command that closes its input early does not stop anything', async () => {
    expect(await host.run('exec 0<&-; echo on', { stdin: Readable.from([randomBytes(4 << 20)]) })).toMatchObject({ stdout: 'on\n', exitCode: 0 })
  })

  it('words are not interpreted by any shell', async () => {
    const words = ['printf', '%s|', '$HOME', '`id`', "it's", 'a\nb', '-n', '*', '!x', 'ü']
    expect((await host.run(words)).stdout).toBe(words.slice(2).map((word) => `${word}|`).join(''))
    expect((await host.$`printf %s ${"'; id #"}`).stdout).toBe("'; id #")
  })

  it('variables arrive, and no process list shows their values', async () => {
    const result = await host.run('printf "%s %s\\n" "$PLAIN" "$TOKEN"; ps -eo args', { env: { PLAIN: 'plain value 4711', TOKEN: new Secret('hunter2-secret') } })
    expect(result.stdout.split('\n')[0]).toBe('plain value 4711 hunter2-secret')
    // Other tests run on this machine at the same time: only what is ours alone can be looked for.
    expect(result.stdout.split('\n').slice(1).join('\n')).not.toMatch(/hunter2|value 4711/)
  })

  it('a directory that is not there stops compound commands', async () => {
    const result = await host.run('echo A; echo B', { cwd: '/nowhere' })
    expect(result).toMatchObject({ stdout: '', success: false, ended: 'exited' })
    expect(result.stderr).toContain('/nowhere')
  })

  it('a deadline ends the whole tree and says what it ended', async () => {
    const result = await host.run('setsid sh -c "trap \\"\\" TERM; sleep 317" & sleep 318; :', { timeout: '300ms' })
    expect(result).toMatchObject({ ended: 'timed_out', success: false, exitCode: null, killed: { survivors: [], scope: 'tree' }, error: { code: 'TIMED_OUT' } })
    expect(result.killed?.ended).toBeGreaterThanOrEqual(4)
    expect((await host.run('ps -eo args | grep "[s]leep 31[78]"')).stdout).toBe('')
  })

  it('a cancel ends the whole tree', async () => {
    const cancel = new AbortController()
    const result = await host.run('echo up; sleep 319; :', { signal: cancel.signal, onOutput: () => cancel.abort() })
    expect(result).toMatchObject({ ended: 'cancelled', stdout: 'up\n', killed: { survivors: [], scope: 'tree' } })
    expect((await host.run('ps -eo args | grep "[s]leep 319"')).stdout).toBe('')
  })

  it('a cancel at the very start leaves nothing running', async () => {
    for (let round = 0; round < 5; round++) {
      const cancel = new AbortController()
      const running = host.run('sleep 320; :', { signal: cancel.signal })
      setImmediate(() => cancel.abort())
      const ended = await running.then((result) => result.ended, (error: unknown) => (error as { code: string }).code)
      expect(['cancelled', 'CANCELLED']).toContain(ended)
    }
    await until(async () => (await host.run('ps -eo args | grep "[s]leep 320"')).stdout === '', { what: 'the end of what was cancelled' })
  })

  it('a child that holds the output open is waited for two seconds, and the result says so', async () => {
    const result = await host.run('(sleep 4) & echo done')
    expect(result).toMatchObject({ ended: 'exited', exitCode: 0, stdout: 'done\n', outputIncomplete: true })
    expect(result.executionTime).toBeLessThan(3.5)
  })

  it('a hundred megabytes pass through standard input and output byte for byte', async () => {
    const block = randomBytes(1 << 20)
    const sent = createHash('sha256')
    const came = createHash('sha256')
    const blocks = Array.from({ length: 100 }, () => block)
    for (const each of blocks) sent.update(each)
    const result = await host.run('cat', { stdin: Readable.from(blocks), maxOutputBytes: 1000, onOutput: (_stream, chunk) => void came.update(chunk), timeout: '60s' })
    expect(result).toMatchObject({ exitCode: 0, stdoutBytes: 100 << 20, truncated: true })
    expect(result.stdoutRaw).toHaveLength(1000)
    expect(came.digest('hex')).toBe(sent.digest('hex'))
  })

  it('thirty commands at once pass a server that allows ten sessions on a connection', async () => {
    const results = await Promise.all(Array.from({ length: 30 }, (_, index) => host.run(`sleep 0.2; echo ${index}`)))
    expect(results.map((result) => result.stdout)).toEqual(Array.from({ length: 30 }, (_, index) => `${index}\n`))
  })

  it('lines come live, and leaving the loop ends the command', async () => {
    const seen: string[] = []
    for await (const line of host.$`i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done`) {
      seen.push(line)
      if (seen.length === 3) break
    }
    expect(seen).toEqual(['line 1', 'line 2', 'line 3'])
    expect((await host.run('ps -eo args | grep "[e]cho line"')).stdout).toBe('')
  })

  // An sshd of an ordinary user may not give a terminal away, and ends the connection.
  it.skipIf(!isRoot)('a pty is a terminal, with and without variables', async () => {
    expect((await host.run('test -t 0 && test -t 1 && echo tty', { pty: true })).stdout).toBe('tty\r\n')
    expect((await host.run('test -t 1 && echo "$V"', { pty: true, env: { V: 'x y' } })).stdout).toBe('x y\r\n')
  })

  it('text longer than an argument may be is run', async () => {
    expect(await host.run(`: ${'x'.repeat(300_000)}; echo ran`)).toMatchObject({ stdout: 'ran\n', exitCode: 0 })
  })

  it('a lost connection is no exit status', async () => {
    const error = await host.run('kill -9 $(ps -o ppid= -p $PPID) $PPID; sleep 5').catch((failed: unknown) => failed)
    expect(error).toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true, result: { ended: 'lost', exitCode: null } })
  })

  it('a result prints and serialises as the documentation says', async () => {
    const result: RunResult = await host.run('echo hello')
    expect(JSON.parse(JSON.stringify(result))).toEqual({
      run_id: expect.any(String), vm_id: 'vm01', user: 'tester', operation: 'run', command: 'echo hello', ended: 'exited', exit_code: 0, signal: null,
      success: true, state: 'succeeded', stdout: 'hello\n', stderr: '', stdout_bytes: 6, stderr_bytes: 0, truncated: false, execution_time: expect.any(Number),
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/), attempts: 1, engine: 'ssh2', killed: null, error: null,
    })
  })
})

describe.skipIf(!server || !isRoot)('as root, with several logins', () => {
  it.each(LOGIN_SHELLS)('a login whose shell is $shell runs any command', async ({ path }) => {
    if (path === '') return expect(path, 'the shell is not installed').toBe('')
    const user = await server?.testUser(path)
    await using fleet = await fleetOf({ vm01: { server: server as OpensshServer, login: user?.name ?? '' } })
    const host = fleet.remex.host('vm01')
    expect(await host.run(['printf', '%s|', 'a b', "it's", '!$x', '\\', 'ü\n'], { env: { V: '1' }, cwd: '/' })).toMatchObject({ stdout: "a b|it's|!$x|\\|ü\n|" })
    expect(await host.run('exit 3')).toMatchObject({ exitCode: 3 })
    expect(await host.run('sleep 321; :', { timeout: '300ms' })).toMatchObject({ ended: 'timed_out', killed: { survivors: [], scope: 'tree' } })
  })

  it('a root login, whose processes sshd refuses to signal, is ended by the deadline too', async () => {
    await server?.authorize('root')
    await using fleet = await fleetOf({ vm01: { server: server as OpensshServer, login: 'root' } })
    const result = await fleet.remex.host('vm01').run('setsid sleep 322 & sleep 322; :', { timeout: '500ms' })
    expect(result).toMatchObject({ ended: 'timed_out', killed: { survivors: [], scope: 'tree' } })
    expect(spawnSync('/bin/sh', ['-c', 'ps -eo args | grep "[s]leep 322"'], { encoding: 'utf8' }).stdout).toBe('')
  })
})
