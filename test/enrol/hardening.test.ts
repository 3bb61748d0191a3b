import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, describe, expect, it } from 'vitest'
import { findProgram } from '../../testkit/daemon.ts'
import { until } from '../../testkit/until.ts'
import { failureOf } from '../failure-of.ts'
import { keyPlace, obstacle as noUsers, willing, type KeyPlace } from './key-place.ts'

const run = promisify(execFile)
const obstacle = noUsers || (findProgram('sudo') === undefined ? 'sudo is not installed (Debian: sudo)' : '')

let place: KeyPlace
let dropIns: string
let sudoers: string

/** A host with a directory of drop-in files, whose login may become root. */
async function start(config: readonly string[] = [], { sudo = true } = {}): Promise<void> {
  dropIns = await mkdtemp(join(tmpdir(), 'remex-dropins-'))
  place = await keyPlace(['vm01'], { config: config.map((line) => line.replace('DIR', dropIns)) })
  sudoers = `/etc/sudoers.d/${place.user('vm01').name}`
  if (sudo) await writeFile(sudoers, `${place.user('vm01').name} ALL=(ALL:ALL) NOPASSWD: ALL\n`, { mode: 0o440 })
  await place.remex.keys.setup('vm01', willing)
}
const INCLUDE = 'Include DIR/*.conf'

afterEach(async () => {
  if (obstacle) return
  await rm(sudoers, { force: true })
  await place[Symbol.asyncDispose]()
  await rm(dropIns, { recursive: true })
})

/** What sshd answers to somebody who has nothing to show, as OpenSSH's own client hears it. */
async function accepted(): Promise<string> {
  const { server } = place
  const options = ['-F', '/dev/null', '-o', `UserKnownHostsFile=${server.knownHostsPath}`, '-o', 'BatchMode=yes', '-o', 'PreferredAuthentications=none', '-p', String(server.port)]
  const { stderr } = await run('ssh', [...options, `${place.user('vm01').name}@127.0.0.1`, 'true']).catch((error: unknown) => error as { stderr: string })
  return /Permission denied \((.*)\)/.exec(stderr)?.[1] ?? stderr
}

const watchers = async (): Promise<string> => (await run('sh', ['-c', 'ps -eo args | grep "[r]emex-harden" || :'])).stdout

describe.skipIf(obstacle)(`keys harden${obstacle && ` (skipped: ${obstacle})`}`, () => {
  it('lets sshd accept keys alone, proves it, and leaves nothing behind that waits', async () => {
    await start([INCLUDE])
    expect(await accepted()).toBe('publickey,password')
    expect(await place.remex.keys.harden('vm01')).toEqual({ vmId: 'vm01', changed: true, methods: ['publickey'] })
    expect(await accepted()).toBe('publickey')
    const remex = await place.open()
    expect(await remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n' })
    expect(await readFile(join(dropIns, '00-remex.conf'), 'utf8')).toMatch(/^PasswordAuthentication no$/m)
    await until(async () => (await watchers()) === '', { what: 'the watch on the host ends' })
  })

  it('changes nothing when it is repeated', async () => {
    await start([INCLUDE])
    await place.remex.keys.harden('vm01')
    expect(await place.remex.keys.harden('vm01')).toMatchObject({ changed: false })
  })

  it('is not done where no key opens the host yet', async () => {
    await start([INCLUDE])
    const bare = await place.open({ settings: { key_storage_path: join(place.folder, 'nothing') } })
    expect(await failureOf(bare.keys.harden('vm01'))).toMatchObject({ code: 'KEY_NOT_FOUND' })
    await place.remex.keys.revoke('vm01')
    expect(await failureOf(place.remex.keys.harden('vm01'))).toMatchObject({ code: 'KEY_NOT_FOUND', hint: expect.stringContaining('remex keys setup vm01') as string })
    expect(await readdir(dropIns)).toEqual([])
  })

  it('without sudo says what is missing', async () => {
    await start([INCLUDE], { sudo: false })
    expect(await failureOf(place.remex.keys.harden('vm01'))).toMatchObject({ code: 'SUDO_FAILED' })
  })

  it('without a directory of drop-in files says which line to add', async () => {
    await start()
    expect(await failureOf(place.remex.keys.harden('vm01'))).toMatchObject({ code: 'REMOTE_NOT_FOUND', hint: expect.stringContaining('Include /etc/ssh/sshd_config.d/*.conf') as string })
  })

  it('where a line before it says otherwise changes nothing, and names that', async () => {
    await start(['PasswordAuthentication yes', INCLUDE])
    expect(await failureOf(place.remex.keys.harden('vm01'))).toMatchObject({ code: 'USAGE', message: expect.stringContaining('passwordauthentication yes') as string })
    expect(await readdir(dropIns)).toEqual([])
  })

  it('where a Match block says otherwise puts everything back', { timeout: 60_000 }, async () => {
    await start([INCLUDE])
    await writeFile(join(dropIns, '99-match.conf'), `Match User ${place.user('vm01').name}\n  PasswordAuthentication yes\n`)
    const steps: string[] = []
    const error = await failureOf(place.remex.keys.harden('vm01', { onStep: (text) => steps.push(text) }))
    expect(error).toMatchObject({ code: 'AUTH_FAILED', message: expect.stringContaining('still accepts password') as string })
    expect(steps.at(-1)).toBe('put the settings of sshd back as they were')
    expect(await readdir(dropIns)).toEqual(['99-match.conf'])
    // sshd closes its port for a moment while it reads its settings anew.
    await until(async () => (await accepted()) === 'publickey,password', { what: 'sshd goes by what was put back' })
  })

  it('keeps a stricter rule for root than its own', async () => {
    await start(['PermitRootLogin no', INCLUDE])
    await place.remex.keys.harden('vm01')
    expect(await readFile(join(dropIns, '00-remex.conf'), 'utf8')).not.toContain('PermitRootLogin')
  })

  it('is undone by the host itself when we are gone before the proof', async () => {
    await start([INCLUDE])
    const gone = await place.open()
    const steps: string[] = []
    const error = await failureOf(gone.keys.harden('vm01', {
      rollbackAfterMs: 2000,
      // As with SIGKILL: all connections break, and nobody proves, confirms or undoes anything.
      onStep: (text) => {
        steps.push(text)
        if (text.startsWith('wrote')) void gone.close()
      },
    }))
    expect(error.code).toBe('USAGE')
    expect(steps.at(-1)).toContain('the host does it by itself')
    expect(await readdir(dropIns)).toEqual(['00-remex.conf'])
    await until(async () => (await readdir(dropIns)).length === 0, { what: 'the host puts everything back' })
    await until(async () => (await accepted()) === 'publickey,password', { what: 'sshd goes by that' })
    await until(async () => (await watchers()) === '', { what: 'the watch ends' })
  })
})
