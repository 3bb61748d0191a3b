import { chmod, chown, mkdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Secret } from '../../src/core/secret.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import type { TestUser } from '../../testkit/test-user.ts'
import { failureOf } from '../failure-of.ts'
import { keyPlace, obstacle, PASSWORD, willing, type KeyPlace, type PlaceOptions } from './key-place.ts'

const skipping = obstacle && ` (skipped: ${obstacle})`
const stranger = makeKeyPair('ed25519', { comment: 'ada@home' }).publicKey

let place: KeyPlace
const start = async (ids: readonly string[] = ['vm01'], options: PlaceOptions = {}): Promise<KeyPlace> => (place = await keyPlace(ids, options))
afterEach(async () => {
  if (!obstacle) await place[Symbol.asyncDispose]()
})

/** Puts a file into the home as its user would have. */
async function give({ home, uid, gid }: TestUser, name: string, text: string, mode = 0o600): Promise<string> {
  const path = join(home, name)
  await mkdir(join(home, '.ssh'), { recursive: true, mode: 0o700 })
  await writeFile(path, text)
  await chmod(path, mode)
  await chown(join(home, '.ssh'), uid, gid)
  await chown(path, uid, gid)
  return path
}

describe.skipIf(obstacle)(`keys setup${skipping}`, () => {
  it('goes from nothing to access by key, and says what it did', async () => {
    await start(['vm01'], { trusted: false })
    const steps: string[] = []
    const report = await place.remex.keys.setup('vm01', { ...willing, onStep: (text) => steps.push(text) })
    const hostKey = place.server.hostKeys[0]?.fingerprint ?? ''
    expect(report).toMatchObject({ vmId: 'vm01', made: true, added: true, by: 'password', trusted: [hostKey], repaired: [] })
    expect(steps).toEqual([
      `trusts the host key ${hostKey}`,
      `made an Ed25519 key, ${report.fingerprint}`,
      'added the key to authorized_keys',
      'a login with the key alone works',
    ])
    expect(await place.authorizedKeys('vm01')).toMatch(/^ssh-ed25519 \S+ remex-vm01-\d{4}-\d\d-\d\d\n$/)
    expect(await (await place.open()).host('vm01').run('id -un')).toMatchObject({ stdout: `${place.user('vm01').name}\n` })
    const modes = await Promise.all([place.keys, join(place.keys, 'id_ed25519_vm01')].map(async (path) => (await stat(path)).mode & 0o777))
    expect(modes).toEqual([0o700, 0o600])
  })

  it('makes a key of its own for each host', async () => {
    await start(['vm01', 'vm04'])
    const [one, four] = [await place.remex.keys.setup('vm01', willing), await place.remex.keys.setup('vm04', willing)]
    expect(one.fingerprint).not.toBe(four.fingerprint)
    expect(await place.authorizedKeys('vm04')).toContain('remex-vm04-')
  })

  it('changes nothing when it is repeated, and asks for no password then', async () => {
    await start()
    const first = await place.remex.keys.setup('vm01', willing)
    const before = [await place.authorizedKeys('vm01'), await readFile(join(place.keys, 'id_ed25519_vm01'), 'utf8')]
    const again = await place.remex.keys.setup('vm01')
    expect(again).toMatchObject({ fingerprint: first.fingerprint, made: false, added: false, by: null })
    expect([await place.authorizedKeys('vm01'), await readFile(join(place.keys, 'id_ed25519_vm01'), 'utf8')]).toEqual(before)
  })

  it('leaves everything as it was after a wrong password, and needs no second key for the next try', async () => {
    await start()
    const error = await failureOf(place.remex.keys.setup('vm01', { ...willing, password: () => Promise.resolve(new Secret('wrong')) }))
    expect(error).toMatchObject({ code: 'AUTH_FAILED', vmId: 'vm01', hint: expect.stringContaining('password') as string })
    expect(error.message).not.toContain('wrong')
    expect(await place.authorizedKeys('vm01')).toBe('')
    expect(await failureOf(place.remex.host('vm01').run('true'))).toMatchObject({ code: 'KEY_NOT_FOUND' })
    const steps: string[] = []
    await place.remex.keys.setup('vm01', { ...willing, onStep: (text) => steps.push(text) })
    expect(steps).toEqual(['added the key to authorized_keys', 'a login with the key alone works'])
  })

  it('without a password says that one is missing, and how to give it', async () => {
    await start()
    expect(await failureOf(place.remex.keys.setup('vm01'))).toMatchObject({ code: 'AUTH_FAILED', hint: expect.stringContaining('--password-stdin') as string })
  })

  it('asks for no password where the host takes none', async () => {
    await start(['vm01'], { config: ['PasswordAuthentication no'] })
    const error = await failureOf(place.remex.keys.setup('vm01', { password: () => Promise.reject(new Error('asked')) }))
    expect(error).toMatchObject({ code: 'AUTH_FAILED', hint: expect.stringContaining('ssh-agent') as string })
  })

  it('gives the password to a host that asks for it in a dialogue, once', async () => {
    await start(['vm01'], { config: ['UsePAM yes', 'PasswordAuthentication no', 'KbdInteractiveAuthentication yes'] })
    const wrong = { ...willing, password: () => Promise.resolve(new Secret('wrong')) }
    expect(await failureOf(place.remex.keys.setup('vm01', wrong))).toMatchObject({ code: 'AUTH_FAILED', message: expect.stringContaining('keyboard-interactive') as string })
    expect(await place.remex.keys.setup('vm01', willing)).toMatchObject({ by: 'password', added: true })
  })

  it('trusts no host that nobody vouched for', async () => {
    await start(['vm01'], { trusted: false })
    const refusing = { ...willing, trustHostKeys: () => Promise.resolve(false) }
    expect(await failureOf(place.remex.keys.setup('vm01', refusing))).toMatchObject({ code: 'HOST_KEY_UNKNOWN' })
    expect(await failureOf(place.remex.keys.setup('vm01', { ...willing, fingerprint: `SHA256:${'A'.repeat(43)}` }))).toMatchObject({ code: 'HOST_KEY_CHANGED' })
    expect(await readFile(join(place.folder, 'known_hosts'), 'utf8')).toBe('')
    expect((await place.records()).map(({ operation }) => operation)).not.toContain('key_add')
  })

  it('trusts the host key of a fingerprint that is given', async () => {
    await start(['vm01'], { trusted: false })
    const fingerprint = place.server.hostKeys[0]?.fingerprint ?? ''
    expect(await place.remex.keys.setup('vm01', { password: willing.password, fingerprint })).toMatchObject({ trusted: [fingerprint] })
  })

  it('gives the password to nobody whose key has changed', async () => {
    await start(['vm01'], { trusted: false })
    await writeFile(join(place.folder, 'known_hosts'), `[127.0.0.1]:${place.server.port} ${stranger}\n`)
    const asked = { ...willing, password: () => Promise.reject(new Error('asked')) }
    expect(await failureOf(place.remex.keys.setup('vm01', asked))).toMatchObject({ code: 'HOST_KEY_CHANGED' })
  })

  it('goes on with the other hosts where one is down', async () => {
    await start(['vm01', 'vm02', 'vm03', 'vm04'], { vms: { vm02: { ssh_port: 1 } } })
    const outcomes = await Promise.allSettled(['vm01', 'vm02', 'vm03', 'vm04'].map((id) => place.remex.keys.setup(id, willing)))
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
    expect(outcomes[1]).toMatchObject({ reason: { code: 'UNREACHABLE', vmId: 'vm02' } })
  })

  it('writes every step to the audit log, with fingerprints and without the password', async () => {
    await start()
    const { fingerprint } = await place.remex.keys.setup('vm01', willing)
    const finished = (await place.records()).filter(({ event }) => event === 'finish')
    expect(finished.map(({ operation, status, user_key }) => [operation, status, user_key])).toEqual([
      ['host_inspect', 'success', undefined], ['key_make', 'success', fingerprint], ['key_add', 'success', fingerprint], ['key_prove', 'success', fingerprint],
    ])
    expect(JSON.stringify(await place.records())).not.toContain(JSON.stringify(PASSWORD).slice(1, -1))
  })

  it('does nothing that the policy does not allow', async () => {
    await start(['vm01'], { policy: { rules: [{ effect: 'allow', operations: ['host_inspect', 'key_make'] }] } })
    expect(await failureOf(place.remex.keys.setup('vm01', willing))).toMatchObject({ code: 'POLICY_DENIED' })
    expect(await place.authorizedKeys('vm01')).toBe('')
  })
})

describe.skipIf(obstacle)(`the authorized_keys of a host${skipping}`, () => {
  beforeEach(() => start())

  it('keeps its other lines, options and comments, and gets a newline before ours', async () => {
    const text = `# who may come\nfrom="10.0.0.0/8",command="echo \\"hi\\"" ${stranger}\n\n${makeKeyPair('rsa').publicKey}`
    await give(place.user('vm01'), '.ssh/authorized_keys', text)
    await place.remex.keys.setup('vm01', willing)
    const [before, ours] = [await place.authorizedKeys('vm01'), (await readFile(join(place.keys, 'id_ed25519_vm01.pub'), 'utf8'))]
    expect(before).toBe(`${text}\n${ours}`)
  })

  it('that is a symbolic link stays one', async () => {
    const user = place.user('vm01')
    await give(user, 'keys-elsewhere', `${stranger}\n`)
    await give(user, '.ssh/config', '')
    await symlink('../keys-elsewhere', join(user.home, '.ssh', 'authorized_keys'))
    await place.remex.keys.setup('vm01', willing)
    expect(await readlink(join(user.home, '.ssh', 'authorized_keys'))).toBe('../keys-elsewhere')
    expect(await readFile(join(user.home, 'keys-elsewhere'), 'utf8')).toMatch(/ada@home\nssh-ed25519 \S+ remex-vm01/)
  })

  it('with modes that sshd refuses is mended, and that is said', async () => {
    const user = place.user('vm01')
    await give(user, '.ssh/authorized_keys', `${stranger}\n`, 0o666)
    await chmod(join(user.home, '.ssh'), 0o777)
    await chmod(user.home, 0o775)
    const { repaired } = await place.remex.keys.setup('vm01', willing)
    expect(repaired).toEqual(['~ (drwxrwxr-x)', '~/.ssh (drwxrwxrwx)', '~/.ssh/authorized_keys (-rw-rw-rw-)'])
    const modes = await Promise.all([user.home, join(user.home, '.ssh'), join(user.home, '.ssh', 'authorized_keys')].map(async (path) => (await stat(path)).mode & 0o777))
    expect(modes).toEqual([0o755, 0o755, 0o644])
  })

  it('in a home that cannot be written stays as it is, and the error says so', async () => {
    const { home } = place.user('vm01')
    await chown(home, 0, 0)
    await chmod(home, 0o755)
    const error = await failureOf(place.remex.keys.setup('vm01', willing))
    expect(error).toMatchObject({ code: 'PERMISSION_DENIED', vmId: 'vm01', hint: expect.stringContaining('Nothing was changed') as string })
    expect(error.message).toMatch(/authorized_keys .* cannot be written: .*Permission denied/)
  })

  it('that is a directory is told as what it is', async () => {
    const { home, uid, gid } = place.user('vm01')
    await mkdir(join(home, '.ssh', 'authorized_keys'), { recursive: true })
    await chown(join(home, '.ssh'), uid, gid)
    expect(await failureOf(place.remex.keys.setup('vm01', willing))).toMatchObject({ code: 'PERMISSION_DENIED', message: expect.stringContaining('not a file') as string })
  })

  it('is written by many at once without losing a line', async () => {
    const user = place.user('vm01')
    const ids = Array.from({ length: 6 }, (_, index) => `a${index}`)
    const { server, folder } = place
    const { Remex } = await import('../../src/remex.ts')
    const vms = Object.fromEntries(ids.map((id) => [id, { ip: server.address, ssh_port: server.port, ssh_user: user.name }]))
    await using remex = await Remex.open({ config: { vms, remote_execution: { key_storage_path: place.keys, known_hosts_path: join(folder, 'known_hosts'), audit_log_path: join(folder, 'audit') } }, env: { REMEX_STATE_DIR: join(folder, 'state') } })
    await Promise.all(ids.map((id) => remex.keys.setup(id, willing)))
    const lines = (await place.authorizedKeys('vm01')).trim().split('\n').map((line) => /remex-(a\d)/.exec(line)?.[1])
    expect(lines.sort()).toEqual(ids)
  })
})
