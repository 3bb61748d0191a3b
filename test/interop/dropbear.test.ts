import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Secret } from '../../src/core/secret.ts'
import type { Host } from '../../src/fleet/host.ts'
import { startDropbearServer, type DropbearServer } from '../../testkit/dropbear-server.ts'
import { fleetOf, type TestFleet } from './fleet-of.ts'

const started = await startDropbearServer()
const server = 'skipped' in started ? undefined : started
const reason = 'skipped' in started ? started.skipped : ''
/** Where Debian's Dropbear looks for it. */
const hasSftp = existsSync('/usr/lib/sftp-server')

afterAll(() => server?.close())

describe.skipIf(!server)(`against the machine’s Dropbear server${reason && ` (skipped: ${reason})`}`, () => {
  let fleet: TestFleet
  let host: Host
  beforeAll(async () => {
    fleet = await fleetOf({ vm01: server as DropbearServer }, { settings: { connect_timeout: '20s' } })
    host = fleet.remex.host('vm01')
  })
  afterAll(() => fleet[Symbol.asyncDispose]())

  it.each([0, 1, 126, 255])('an exit status of %i is a result', async (status) => {
    expect(await host.run(`exit ${status}`)).toMatchObject({ ended: 'exited', exitCode: status, success: status === 0 })
  })

  it.each(['TERM', 'KILL'])('a command that ends by SIG%s says so', async (signal) => {
    expect(await host.run(`kill -${signal} $$`)).toMatchObject({ ended: 'signaled', signal, exitCode: null, success: false })
  })

  it('streams, words, variables and the directory arrive as on any other server', async () => {
    const options = { env: { PLAIN: "it's", TOKEN: new Secret('hunter2-secret') }, cwd: '/' }
    expect(await host.run('pwd; echo "$PLAIN $TOKEN"; echo err >&2', options)).toMatchObject({ stdout: "/\nit's hunter2-secret\n", stderr: 'err\n' })
    expect(await host.run(['printf', '%s|', 'a b', '$HOME', 'ü\n'])).toMatchObject({ stdout: 'a b|$HOME|ü\n|' })
  })

  it.each(['ssh2', 'openssh'])('sessions at the same time have a connection each, by %s', async (engine) => {
    const remex = await fleet.open({ settings: { engine } })
    const ask = async (): Promise<string> => (await remex.host('vm01').run('echo $SSH_CONNECTION; sleep 0.5')).stdout
    expect(new Set(await Promise.all([ask(), ask(), ask()])).size).toBe(3)
  })

  it.each(['ssh2', 'openssh'])('many commands at once all end as they should, and run once, by %s', async (engine) => {
    const remex = await fleet.open({ settings: { engine } })
    const file = `ran-${engine}`
    // Dropbear closed one in ten when they shared a connection, and had run most of those.
    const results = await Promise.all(Array.from({ length: 60 }, (_, index) => remex.host('vm01').run(`echo ${index} >>"$RAN"; exit ${index}`, { env: { RAN: file } })))
    expect(results.map(({ exitCode }) => exitCode)).toEqual(results.map((_, index) => index))
    const ran = (await host.run(['cat', file])).stdout.trim().split('\n')
    expect(ran.map(Number).toSorted((a, b) => a - b)).toEqual(results.map((_, index) => index))
  })

  it('ten megabytes pass through standard input and output byte for byte', async () => {
    const block = randomBytes(1 << 20)
    const digest = createHash('sha256').update(Buffer.concat(Array.from({ length: 10 }, () => block))).digest('hex')
    const result = await host.run('cat', { stdin: Readable.from(Array.from({ length: 10 }, () => block)), timeout: '60s' })
    expect(result).toMatchObject({ exitCode: 0, stdoutBytes: 10 << 20, truncated: false })
    expect(createHash('sha256').update(result.stdoutRaw).digest('hex')).toBe(digest)
  })

  it('a deadline ends the whole tree and says what it ended', async () => {
    const result = await host.run('setsid sleep 27 & sleep 28; :', { timeout: '500ms' })
    expect(result).toMatchObject({ ended: 'timed_out', killed: { survivors: [], scope: 'tree' }, error: { code: 'TIMED_OUT' } })
    expect((await host.run('ps -eo args | grep "[s]leep 2[78]"')).stdout).toBe('')
  })

  it.skipIf(!hasSftp)('files go and come verified where it has an SFTP server (skipped without /usr/lib/sftp-server)', async () => {
    const local = join(fleet.folder, 'sent')
    const data = randomBytes(300_000)
    await writeFile(local, data)
    const sent = await host.put(local, "it's 1 file", { mode: 0o640 })
    expect(sent).toMatchObject({ verified: true, sizeBytes: data.length, mode: 0o640, sha256: createHash('sha256').update(data).digest('hex') })
    const back = await host.get("it's 1 file", join(fleet.folder, 'back'))
    expect(back).toMatchObject({ verified: true, sha256: sent.sha256 })
    expect((await readFile(join(fleet.folder, 'back'))).equals(data)).toBe(true)
  })

  it.skipIf(hasSftp)('a transfer without an SFTP server says so', async () => {
    const local = join(fleet.folder, 'sent')
    await writeFile(local, 'x')
    await expect(host.put(local, 'sent')).rejects.toMatchObject({ vmId: 'vm01', message: expect.stringMatching(/sftp/i) as string })
  })
})
