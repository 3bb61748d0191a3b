import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RemexError } from '../../src/core/errors.ts'
import { Secret } from '../../src/core/secret.ts'
import type { Host } from '../../src/fleet/host.ts'
import { findProgram } from '../../testkit/daemon.ts'
import { startOpensshServer, type OpensshServer } from '../../testkit/openssh-server.ts'
import { fleetOf, type TestFleet } from './fleet-of.ts'

const isRoot = process.getuid?.() === 0
const obstacle = isRoot ? (findProgram('sudo') === undefined ? 'sudo is not installed (Debian: sudo)' : '') : 'only root can allow a user sudo'
const started = obstacle === '' ? await startOpensshServer() : { skipped: obstacle }
const server = 'skipped' in started ? undefined : started
const reason = 'skipped' in started ? started.skipped : ''

afterAll(() => server?.close())

describe.skipIf(!server)(`a command under sudo${reason && ` (skipped: ${reason})`}`, () => {
  let fleet: TestFleet
  /** May do everything without a password. */
  let host: Host
  /** May do nothing. */
  let powerless: Host
  let other: string
  let dropIn: string
  let here: string

  beforeAll(async () => {
    const { login, testUser } = server as OpensshServer
    const [second, third] = [await testUser('/bin/sh'), await testUser('/bin/sh')]
    other = third?.name ?? ''
    dropIn = `/etc/sudoers.d/${login}`
    await writeFile(dropIn, `${login} ALL=(ALL:ALL) NOPASSWD: ALL\n`, { mode: 0o440 })
    here = await mkdtemp(join(tmpdir(), 'remex-sudo-'))
    fleet = await fleetOf({ vm01: server as OpensshServer, vm02: { server: server as OpensshServer, login: second?.name ?? '' } }, { settings: { connect_timeout: '20s' } })
    host = fleet.remex.host('vm01')
    powerless = fleet.remex.host('vm02')
  })
  afterAll(async () => {
    await rm(dropIn, { force: true })
    await fleet[Symbol.asyncDispose]()
    await rm(here, { recursive: true })
  })

  it('runs as root, or as the user that is named', async () => {
    expect(await host.run('id -un; echo err >&2', { sudo: true })).toMatchObject({ stdout: 'root\n', stderr: 'err\n', exitCode: 0 })
    expect(await host.run(['id', '-un'], { sudo: other })).toMatchObject({ stdout: `${other}\n` })
    expect(await host.run('id -un')).toMatchObject({ stdout: `${server?.login ?? ''}\n` })
  })

  it('is the default of a host that says so, and can be left out', async () => {
    const remex = await fleet.open({ vms: { vm01: { sudo: true } } })
    expect(await remex.host('vm01').run('id -un')).toMatchObject({ stdout: 'root\n' })
    expect(await remex.host('vm01').run('id -un', { sudo: false })).toMatchObject({ stdout: `${server?.login ?? ''}\n` })
  })

  it.each([0, 1, 127])('keeps its own exit status %i, which is not sudo’s', async (status) => {
    expect(await host.run(`exit ${status}`, { sudo: true })).toMatchObject({ ended: 'exited', exitCode: status, error: null })
  })

  it('that prints nothing and fails is not taken for a sudo that failed', async () => {
    expect(await host.run('exec 2>&-; exit 1', { sudo: true })).toMatchObject({ ended: 'exited', exitCode: 1, stderr: '', error: null })
  })

  it('gets values and input as without it, and no process list shows the values', async () => {
    const options = { sudo: true, env: { PLAIN: 'a b', TOKEN: new Secret('hunter2-secret') }, cwd: '/', stdin: 'input' } as const
    const result = await host.run('pwd; echo "$PLAIN $TOKEN"; cat; ps -eo args', options)
    expect(result.stdout.split('\n').slice(0, 2)).toEqual(['/', 'a b hunter2-secret'])
    expect(result.stdout.split('\n').slice(2).join('\n')).toMatch(/^input/)
    expect(result.stdout.split('\n').slice(2).join('\n')).not.toMatch(/hunter2/)
  })

  it('of a terminal works too', async () => {
    expect(await host.run('test -t 1 && id -un', { sudo: true, pty: true })).toMatchObject({ stdout: 'root\r\n' })
  })

  it('without permission is SUDO_FAILED with what sudo said, at once and without a prompt', async () => {
    for (const pty of [false, true]) {
      const error: unknown = await powerless.run('echo never', { sudo: true, pty, retries: 3, timeout: '20s' }).catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(RemexError)
      expect(error).toMatchObject({ code: 'SUDO_FAILED', vmId: 'vm02', mayHaveRun: false, result: { ended: 'not_started', attempts: 1 } })
      if (!pty) expect(error).toMatchObject({ result: { stdout: '' } })
      expect(String(error)).toMatch(/vm02.*password is required/)
    }
  })

  it('as a user that is not there is SUDO_FAILED', async () => {
    await expect(host.run('true', { sudo: 'nobody-of-this-name' })).rejects.toMatchObject({ code: 'SUDO_FAILED', message: expect.stringMatching(/nobody-of-this-name/) as string })
  })

  it.each(['-u root', 'a b', "x'; id; '"])('as %s is refused before anything is sent', async (sudo) => {
    await expect(host.run('true', { sudo })).rejects.toMatchObject({ code: 'USAGE' })
  })

  it('is ended by its deadline with the whole tree, though it runs as root', async () => {
    const result = await host.run('setsid sleep 21 & trap "" TERM; sleep 22; sleep 22', { sudo: true, timeout: '700ms' })
    expect(result).toMatchObject({ ended: 'timed_out', killed: { survivors: [], scope: 'tree' } })
    expect(result.killed?.ended).toBeGreaterThanOrEqual(3)
    expect((await host.run('ps -eo args | grep "[s]leep 2[12]"')).stdout).toBe('')
  })

  it('is ended by a cancel when it runs as another user', async () => {
    const cancel = new AbortController()
    const result = await host.run('echo up; sleep 2071; :', { sudo: other, signal: cancel.signal, onOutput: () => cancel.abort() })
    expect(result).toMatchObject({ ended: 'cancelled', stdout: 'up\n', killed: { survivors: [], scope: 'tree' } })
    expect((await host.run('ps -eo args | grep "[s]leep 2071"')).stdout).toBe('')
  })

  it('may be a script, which is readable for the other user, and removed', async () => {
    const path = join(here, 'who.sh')
    await writeFile(path, '#!/bin/sh\nid -un; dirname "$0"\n')
    for (const [sudo, name] of [[true, 'root'], [other, other]] as const) {
      const [who, directory = ''] = (await host.script(path, { sudo })).stdout.split('\n')
      expect(who).toBe(name)
      expect(await host.run(['test', '-e', directory])).toMatchObject({ exitCode: 1 })
    }
  })
})
