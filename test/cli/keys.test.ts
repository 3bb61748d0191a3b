import { spawn, type ChildProcess } from 'node:child_process'
import { readFile, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { quoteWords } from '../../src/core/quote.ts'
import { findProgram } from '../../testkit/daemon.ts'
import { keyPlace, obstacle, PASSWORD, type KeyPlace } from '../enrol/key-place.ts'
import { buildCommandLine, ended, typed, type Answer, type Ended } from './workshop.ts'

const CLI = join(import.meta.dirname, '..', '..', 'dist', 'cli.cjs')
let place: KeyPlace

beforeAll(buildCommandLine, 60_000)
beforeEach(async () => {
  if (obstacle) return
  place = await keyPlace(['vm01', 'vm02'], { trusted: false })
  await writeFile(join(place.folder, 'config.json'), JSON.stringify(place.config))
})
afterEach(async () => {
  if (!obstacle) await place[Symbol.asyncDispose]()
})

function start(file: string, words: readonly string[]): ChildProcess {
  const env = { PATH: process.env.PATH, HOME: join(place.folder, 'home'), REMEX_STATE_DIR: join(place.folder, 'state'), REMEX_CONFIG: join(place.folder, 'config.json'), SHELL: '/bin/sh', TERM: 'xterm' }
  return spawn(file, words, { cwd: place.folder, env, stdio: 'pipe' })
}

async function call(words: readonly string[], input = ''): Promise<Ended> {
  const child = start(process.execPath, [CLI, ...words])
  child.stdin?.on('error', () => undefined)
  child.stdin?.end(input)
  return ended(child)
}

const onTerminal = (words: readonly string[], answers: readonly Answer[]): Promise<Ended> => typed(start('script', ['-qefc', quoteWords([process.execPath, CLI, ...words]), '/dev/null']), answers)

describe.skipIf(obstacle)(`remex keys${obstacle && ` (skipped: ${obstacle})`}`, () => {
  it('sets up every host with the password on standard input, and shows it nowhere', async () => {
    const { status, stdout, stderr } = await call(['keys', 'setup', 'all', '--password-stdin', '--yes'], `${PASSWORD}\n`)
    expect([status, stderr]).toEqual([0, 'remex: 2 hosts: 2 ok\n'])
    expect(stdout).toMatch(/^vm01: made an Ed25519 key, SHA256:\S+$/m)
    expect(stdout).toMatch(/^vm02: ready: the key SHA256:\S+ opens it$/m)
    expect(stdout).not.toContain(PASSWORD)
    expect((await call(['run', 'all', '--json', '--', 'true'])).status).toBe(0)
    expect((await call(['audit', 'verify'])).status).toBe(0)
  })

  it('says with --json what it did, and on a repeat that there was nothing to do', async () => {
    const [row] = (await call(['keys', 'setup', 'vm01', '--json', '--password-stdin', '--yes'], PASSWORD)).rows
    expect(row).toMatchObject({ vm_id: 'vm01', success: true, made: true, added: true, by: 'password', repaired: [], error: null })
    const again = await call(['keys', 'setup', 'vm01'])
    expect(again).toMatchObject({ status: 0, stderr: '' })
    expect(again.stdout).toMatch(/^vm01: nothing to do: the key SHA256:\S+ opens it$/m)
  })

  it('never hangs without a terminal: each missing answer is an error that names its option', async () => {
    const unknown = await call(['keys', 'setup', 'vm01'])
    expect([unknown.status, unknown.stderr]).toEqual([125, expect.stringMatching(/no key is known for it[^]*remex hosts trust vm01/)])
    const nobody = await call(['keys', 'setup', 'vm01', '--yes'])
    expect([nobody.status, nobody.stderr]).toEqual([125, expect.stringContaining('--password-stdin')])
    for (const words of [['keys', 'revoke', 'vm01'], ['keys', 'harden', 'vm01'], ['keys', 'prune']]) {
      expect(await call(words)).toMatchObject({ status: 125, stderr: expect.stringContaining('--yes') as string })
    }
  })

  it.skipIf(!findProgram('script'))('asks on a terminal whether to trust a host, and for the password once for all hosts', async () => {
    const { status, stdout } = await onTerminal(['keys', 'setup', 'all'], [
      ['Nobody has vouched for vm01 yet. Trust this key? [y/N]', 'y\r'],
      ['Password for vm[01-02]', `${PASSWORD}\r`],
    ])
    // Both are one server here, so its key is known by then.
    expect([status, stdout.split('Password for').length > 1]).toEqual([0, true])
    expect(stdout).toContain('vm02: ready')
    expect(stdout).not.toContain(PASSWORD)
    expect((await readFile(join(place.folder, 'known_hosts'), 'utf8')).trim().split('\n')).toHaveLength(1)
  })

  it('shows the keys, and ends with 1 where one is due', async () => {
    await call(['keys', 'setup', 'all', '--password-stdin', '--yes'], PASSWORD)
    const fresh = await call(['keys', 'status'])
    expect(fresh.status).toBe(0)
    expect(fresh.stdout).toMatch(/^HOST +KEY +AGE +STATE +OTHERS +FINGERPRINT\nvm01 +ssh-ed25519 +0 d +due in 90 d +0 +SHA256:/)
    const then = new Date(Date.now() - 100 * 86_400_000)
    await utimes(join(place.keys, 'id_ed25519_vm02'), then, then)
    const due = await call(['keys', 'status', '--json'])
    expect(due.status).toBe(1)
    expect(due.rows.find(({ vm_id }) => vm_id === 'vm02')).toMatchObject({ success: true, source: 'key_store', age_days: 100, rotation_days: 90, due: true, authorized: true, others: [], error: null })
    expect((await call(['keys', 'status'])).stderr).toContain('remex keys rotate vm02')
  })

  it('rotates, prunes and revokes', async () => {
    await call(['keys', 'setup', 'vm01', '--password-stdin', '--yes'], PASSWORD)
    const [rotated] = (await call(['keys', 'rotate', 'vm01', '--json'])).rows
    expect(rotated).toMatchObject({ vm_id: 'vm01', success: true, rotated: true, removed: 1, error: null })
    expect((await call(['keys', 'prune', 'vm01', '--yes', '--json'])).rows).toMatchObject([{ vm_id: 'vm01', destroyed: [rotated?.['previous']] }])
    const revoked = await call(['keys', 'revoke', 'vm01', '--yes'])
    expect([revoked.status, revoked.stdout]).toEqual([0, expect.stringContaining('vm01: a login with it is refused\nvm01: revoked')])
    expect((await call(['run', 'vm01', '--', 'true'])).status).toBe(125)
  })

  it('goes on where a host fails, names it, and ends with 1', async () => {
    await writeFile(join(place.folder, 'config.json'), JSON.stringify({ ...place.config, vms: { ...Object(place.config['vms']), down: { ip: '127.0.0.1', ssh_port: 1 } } }))
    const { status, stdout, stderr } = await call(['keys', 'setup', 'all', '--password-stdin', '--yes'], PASSWORD)
    expect(status).toBe(1)
    expect(stdout).toContain('vm01: ready')
    expect(stderr).toMatch(/^remex: down .*refused/m)
    expect(stderr).toContain('3 hosts: 2 ok, 1 failed')
  })

  it('refuses what is no fingerprint, and one for several hosts', async () => {
    expect(await call(['keys', 'revoke', 'all', '--fingerprint', 'md5'])).toMatchObject({ status: 125, stderr: expect.stringContaining('no fingerprint') as string })
    expect(await call(['keys', 'setup', 'all', '--fingerprint', `SHA256:${'A'.repeat(43)}`])).toMatchObject({ status: 125, stderr: expect.stringContaining('for one host') as string })
  })
})
