import { appendFile, chmod, chown, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { selftest, type SelftestParts, type SelftestRow } from '../../src/enrol/selftest.ts'
import type { Remex } from '../../src/remex.ts'
import { startOpensshServer, type OpensshServer } from '../../testkit/openssh-server.ts'
import { startSshServer } from '../../testkit/ssh-server.ts'
import { fleetOf, type TestFleet } from '../interop/fleet-of.ts'

const isRoot = process.getuid?.() === 0
const started = await startOpensshServer()
const server = 'skipped' in started ? undefined : started
const reason = 'skipped' in started ? started.skipped : ''

afterAll(() => server?.close())

interface Tested {
  readonly rows: readonly SelftestRow[]
  /** In the order in which they were told. */
  readonly told: readonly SelftestRow[]
  readonly notices: readonly string[]
}

async function test(remex: Remex, changes: Partial<SelftestParts> = {}): Promise<Tested> {
  const told: SelftestRow[] = []
  const notices: string[] = []
  const { onRow, ...more } = changes
  // Only now: servers and fleets have directories of their own.
  vi.stubEnv('TMPDIR', here)
  const rows = await selftest({
    ids: remex.hosts('all').ids,
    parallel: 4,
    host: (vmId) => remex.host(vmId),
    connect: (vmId, signal) => remex.check(vmId, signal),
    auditPath: remex.config.settings.auditPath,
    signal: new AbortController().signal,
    onNotice: (text) => notices.push(text),
    onRow: async (row) => {
      told.push(row)
      await onRow?.(row)
    },
    ...more,
  })
  vi.unstubAllEnvs()
  return { rows, told, notices }
}

/** `vm01 connect ok`, … */
const short = (rows: readonly SelftestRow[]): string[] => rows.map(({ vmId, check, status }) => `${vmId ?? 'all'} ${check} ${status}`)

const CHECKS = ['connect', 'command', 'script', 'upload', 'download', 'deadline']
const allOf = (vmId: string, status = 'ok'): string[] => CHECKS.map((check) => `${vmId} ${check} ${status}`)
const rowOf = (rows: readonly SelftestRow[], check: string, vmId?: string): SelftestRow | undefined => rows.find((row) => row.check === check && (vmId === undefined || row.vmId === vmId))

/** What the selftest may have left: on the host, which is this machine, and here. */
async function leftBehind(fleet: TestFleet): Promise<string[]> {
  const { stdout } = await fleet.remex.host('vm01').run('ls -A "$HOME" "${TMPDIR:-/tmp}"; pgrep -u "$(id -u)" -a sleep')
  const onHost = stdout.split('\n').filter((line) => /remex-selftest-[0-9a-f]{16}-/.test(line) || line.endsWith('sleep 300'))
  return [...onHost, ...(await readdir(here))]
}

let here: string

beforeEach(async () => {
  here = await mkdtemp(join(tmpdir(), 'remex-here-'))
})

afterEach(async () => {
  await rm(here, { recursive: true })
})

describe.skipIf(!server)(`the selftest against the machine’s OpenSSH server${reason && ` (skipped: ${reason})`}`, () => {
  it('finds all well on two hosts, tells each check as it ends, and leaves nothing behind', async () => {
    await using fleet = await fleetOf({ vm01: server as OpensshServer, vm02: server as OpensshServer })
    const { rows, told, notices } = await test(fleet.remex)
    expect(short(rows)).toEqual([...allOf('vm01'), ...allOf('vm02'), 'all audit ok'])
    expect(short(told).toSorted()).toEqual(short(rows).toSorted())
    expect(rowOf(rows, 'connect')?.message).toMatch(/^ssh2, \S+, ssh-ed25519 SHA256:\S+$/)
    expect(rowOf(rows, 'deadline')?.message).toMatch(/^ended after [2-9]\.\d s with all of its processes; a child ignored TERM, and is gone$/)
    expect(rowOf(rows, 'audit')?.message).toMatch(/^\d+ records are whole, the 20 operations of this selftest among them$/)
    expect(rows.every(({ hint, executionTime }) => hint === '' && executionTime > 0)).toBe(true)
    expect(notices).toEqual([])
    expect(await leftBehind(fleet)).toEqual([])
  }, 30_000)

  it('asks nothing more of a host that is down, and goes on with the others', async () => {
    const down = await startSshServer()
    await down.close()
    await using fleet = await fleetOf({ vm01: server as OpensshServer, vm02: down })
    const { rows } = await test(fleet.remex)
    expect(short(rows)).toEqual([...allOf('vm01'), 'vm02 connect failed', ...allOf('vm02', 'skipped').slice(1), 'all audit ok'])
    expect(rowOf(rows, 'connect', 'vm02')).toMatchObject({ message: expect.stringContaining('vm02') as string, hint: expect.stringContaining('remex hosts check') as string })
    expect(rowOf(rows, 'download', 'vm02')?.message).toBe('upload did not go well')
  }, 30_000)

  it('removes what is on the host when it is interrupted between sending and fetching', async () => {
    await using fleet = await fleetOf({ vm01: server as OpensshServer })
    const abort = new AbortController()
    const { rows, notices } = await test(fleet.remex, { signal: abort.signal, onRow: ({ check }) => (check === 'upload' ? abort.abort() : undefined) })
    expect(short(rows)).toEqual([...allOf('vm01').slice(0, 4), 'vm01 download skipped', 'vm01 deadline skipped', 'all audit skipped'])
    expect(rowOf(rows, 'audit')?.message).toBe('interrupted')
    expect(notices).toEqual([])
    expect(await leftBehind(fleet)).toEqual([])
  }, 30_000)

  it('ends what runs when it is interrupted in a check, which is then no failure', async () => {
    await using fleet = await fleetOf({ vm01: server as OpensshServer })
    const abort = new AbortController()
    const { rows } = await test(fleet.remex, {
      signal: abort.signal,
      host: (vmId) => {
        const host = fleet.remex.host(vmId)
        const run: typeof host.run = (command, options) => host.run(command, { ...options, onOutput: () => (String(command).includes('sleep 300') ? abort.abort() : undefined) })
        return { run, script: host.script.bind(host), put: host.put.bind(host), get: host.get.bind(host) }
      },
    })
    expect(short(rows)).toEqual([...allOf('vm01').slice(0, 5), 'vm01 deadline skipped', 'all audit skipped'])
    expect(await leftBehind(fleet)).toEqual([])
  }, 30_000)

  it.skipIf(!isRoot)('says of a login that may write nowhere what is not possible, and what to do', async () => {
    await using narrow = (await startOpensshServer({ sftp: 'external', config: ['ForceCommand TMPDIR=/proc exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"'] })) as OpensshServer
    const user = await narrow.testUser('/bin/sh')
    if (!user) return
    await chown(user.home, 0, 0)
    await chmod(user.home, 0o755)
    await using fleet = await fleetOf({ vm01: { server: narrow, login: user.name } })
    const { rows } = await test(fleet.remex)
    expect(short(rows)).toEqual(['vm01 connect ok', 'vm01 command ok', 'vm01 script failed', 'vm01 upload failed', 'vm01 download skipped', 'vm01 deadline ok', 'all audit ok'])
    expect(rowOf(rows, 'script')).toMatchObject({ message: expect.stringContaining('no temporary directory could be made') as string, hint: expect.stringContaining('TMPDIR') as string })
    expect(rowOf(rows, 'upload')).toMatchObject({ message: expect.stringMatching(/^no directory could be made on the host: mktemp: /) as string, hint: expect.stringContaining('mktemp') as string })
  }, 30_000)

  it('fails what the policy denies, which is in the log too', async () => {
    const rules = [{ effect: 'allow', speaks_for: '*', operations: ['run', 'script', 'host_check', 'download'], shell: true }]
    await using fleet = await fleetOf({ vm01: server as OpensshServer }, { policy: { rules } })
    const { rows } = await test(fleet.remex)
    expect(rowOf(rows, 'upload')).toMatchObject({ status: 'failed', hint: expect.stringContaining('policy') as string })
    expect(rowOf(rows, 'audit')?.status).toBe('ok')
  }, 30_000)

  it('finds a log that was changed meanwhile', async () => {
    await using fleet = await fleetOf({ vm01: server as OpensshServer })
    const { rows } = await test(fleet.remex, { onRow: ({ check }) => (check === 'deadline' ? appendFile(join(fleet.auditPath, 'audit.jsonl'), 'no record\n') : undefined) })
    expect(rowOf(rows, 'audit')).toMatchObject({ vmId: undefined, status: 'failed', hint: expect.stringContaining('remex audit verify') as string })
  }, 30_000)
})

describe('the selftest of a host whose start-up files print', () => {
  it('shows what came in place of what', async () => {
    await using loud = await startSshServer({ forceCommand: 'case $SSH_ORIGINAL_COMMAND in *"on stderr"*) echo Welcome;; esac; exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"' })
    await using fleet = await fleetOf({ vm01: loud })
    const { rows } = await test(fleet.remex)
    expect(rowOf(rows, 'command')).toMatchObject({ status: 'failed', message: expect.stringMatching(/^standard output is "Welcome\\nplain.* in place of "plain/) as string, hint: expect.stringContaining('start-up file') as string })
    expect(short(rows)).toContain('vm01 deadline ok')
  }, 30_000)
})
