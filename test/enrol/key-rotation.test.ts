import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { fingerprint, parseHostKey } from '../../src/core/host-key.ts'
import { authorizedKeys } from '../../src/keys/authorized-keys.ts'
import type { KeyStatusRow } from '../../src/enrol/keys.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import { failureOf } from '../failure-of.ts'
import { buildCommandLine } from '../cli/workshop.ts'
import { signKey } from '../keys/certificate-samples.ts'
import { hasSshKeygen } from '../keys/ssh-keygen.ts'
import { keyPlace, obstacle, willing, type KeyPlace } from './key-place.ts'

const skipping = obstacle && ` (skipped: ${obstacle})`
const stranger = makeKeyPair('ed25519', { comment: 'ada@home' }).publicKey

let place: KeyPlace
beforeEach(async () => {
  if (obstacle) return
  place = await keyPlace(['vm01'])
  await place.remex.keys.setup('vm01', willing)
})
afterEach(async () => {
  if (!obstacle) await place[Symbol.asyncDispose]()
})

async function statusRows(remex = place.remex): Promise<KeyStatusRow[]> {
  const rows: KeyStatusRow[] = []
  for await (const row of remex.keys.status()) rows.push(row)
  return rows
}

/** As another process would find it, without a connection that is open already. */
async function opens(): Promise<boolean> {
  const remex = await place.open()
  const result = await remex.host('vm01').run('true').catch(() => undefined)
  await remex.close()
  return result?.success === true
}

const fingerprintsOnHost = async (): Promise<string[]> => authorizedKeys(await place.authorizedKeys('vm01')).map(({ key }) => fingerprint(key.blob))

describe.skipIf(obstacle)(`keys rotate${skipping}`, () => {
  it('brings in a new key, and takes the old one out of the host', async () => {
    const [old] = await fingerprintsOnHost()
    const steps: string[] = []
    const report = await place.remex.keys.rotate('vm01', { onStep: (text) => steps.push(text) })
    expect(report).toMatchObject({ previous: old, removed: 1, rotated: true })
    expect(await fingerprintsOnHost()).toEqual([report.fingerprint])
    expect(steps.map((text) => text.replace(/SHA256:\S+/, '<key>'))).toEqual([
      'made an Ed25519 key, <key>',
      'added the new key <key> to authorized_keys',
      'a login with the new key alone works',
      'the new key is in use, the old one was put aside',
      'took the old key out of authorized_keys',
    ])
    expect(await opens()).toBe(true)
  })

  it('keeps the options of the old key and all other lines', async () => {
    const { home, uid, gid } = place.user('vm01')
    const path = join(home, '.ssh', 'authorized_keys')
    await writeFile(path, `# ours\nfrom="127.0.0.1",no-pty ${await place.authorizedKeys('vm01')}${stranger}\n`)
    await chown(path, uid, gid)
    const { fingerprint: ours } = await place.remex.keys.rotate('vm01')
    const lines = (await place.authorizedKeys('vm01')).split('\n')
    expect(lines.slice(0, 2)).toEqual(['# ours', stranger])
    expect(lines[2]).toMatch(/^from="127\.0\.0\.1",no-pty ssh-ed25519 \S+ remex-vm01-/)
    expect(await fingerprintsOnHost()).toContain(ours)
  })

  it('puts the old key files aside until prune destroys them', async () => {
    const old = await readFile(join(place.keys, 'id_ed25519_vm01'), 'utf8')
    await place.remex.keys.rotate('vm01')
    const [kept = ''] = await readdir(join(place.keys, 'retired'))
    expect(await readFile(join(place.keys, 'retired', kept), 'utf8')).toBe(old)
    expect(await place.remex.keys.prune('vm01')).toHaveLength(1)
    expect(await readdir(join(place.keys, 'retired'))).toEqual([])
    expect(await place.remex.keys.prune('vm01')).toEqual([])
    expect(await opens()).toBe(true)
  })

  it('replaces a key of another type, too', async () => {
    const rsa = makeKeyPair('rsa')
    const { home, uid, gid } = place.user('vm01')
    await writeFile(join(home, '.ssh', 'authorized_keys'), rsa.publicKey)
    await chown(join(home, '.ssh', 'authorized_keys'), uid, gid)
    const remex = await place.open({ settings: { key_storage_path: join(place.folder, 'original') } })
    await place.remex.keys.revoke('vm01').catch(() => undefined)
    const { mkdir } = await import('node:fs/promises')
    await mkdir(join(place.folder, 'original'), { mode: 0o700 })
    await writeFile(join(place.folder, 'original', 'id_rsa_vm01'), rsa.privateKey, { mode: 0o600 })
    const { fingerprint: ours } = await remex.keys.rotate('vm01')
    expect(await fingerprintsOnHost()).toEqual([ours])
    expect((await readdir(join(place.folder, 'original'))).sort()).toEqual(['id_ed25519_vm01', 'id_ed25519_vm01.pub', 'retired'])
  })

  it('twice at once leaves one key, and access', async () => {
    const other = await place.open()
    const reports = await Promise.all([place.remex.keys.rotate('vm01'), other.keys.rotate('vm01')])
    expect(reports.map(({ rotated }) => rotated).sort()).toEqual([false, true])
    expect(await fingerprintsOnHost()).toEqual([reports[0].fingerprint])
    expect(reports[1].fingerprint).toBe(reports[0].fingerprint)
    expect(await opens()).toBe(true)
  })

  it('leaves the old key in use where the host refuses the new one', async () => {
    const { home, uid, gid } = place.user('vm01')
    // The host reads another file than the one that is written.
    await using odd = await keyPlace(['vm01'], { config: [`AuthorizedKeysFile ${home}/.ssh/%u`] })
    const lines = await place.authorizedKeys('vm01')
    await writeFile(join(home, '.ssh', odd.user('vm01').name), lines)
    await chown(join(home, '.ssh', odd.user('vm01').name), odd.user('vm01').uid, gid)
    expect(uid).not.toBe(odd.user('vm01').uid)
    const remex = await odd.open({ settings: { key_storage_path: place.keys } })
    const before = await readFile(join(place.keys, 'id_ed25519_vm01'), 'utf8')
    expect(['AUTH_FAILED', 'PERMISSION_DENIED']).toContain((await failureOf(remex.keys.rotate('vm01'))).code)
    expect(await readFile(join(place.keys, 'id_ed25519_vm01'), 'utf8')).toBe(before)
    expect(await opens()).toBe(true)
  })

  it('refuses a key file that several hosts share', async () => {
    const file = join(place.keys, 'id_ed25519_vm01')
    const remex = await place.open({ vms: { vm01: { identity_file: file } } })
    expect(await remex.keys.rotate('vm01')).toMatchObject({ rotated: true })
    await using shared = await keyPlace(['vm01', 'vm02'], { vms: { vm01: { identity_file: file }, vm02: { identity_file: file } } })
    expect(await failureOf(shared.remex.keys.rotate('vm01'))).toMatchObject({ code: 'USAGE', message: expect.stringContaining('vm02') as string })
  })

  it.skipIf(!hasSshKeygen).each([
    ['that the configuration names', 'elsewhere-cert.pub', true, 'take identity_certificate out of the configuration'],
    ['that lies beside it', 'keys/id_ed25519_vm01-cert.pub', false, 'move id_ed25519_vm01-cert.pub away'],
  ])('refuses a host whose key comes with a certificate %s, which a new key would not have, before anything is changed', async (_sentence, name, isNamed, what) => {
    const path = join(place.folder, name)
    const publicKey = (await readFile(join(place.keys, 'id_ed25519_vm01.pub'), 'utf8')).trim()
    await signKey(place.folder, { authority: makeKeyPair(), publicKey, options: ['-n', place.user('vm01').name], path })
    const remex = await place.open({ vms: { vm01: isNamed ? { identity_certificate: path } : {} } })
    const seen = async (): Promise<unknown> => [await place.authorizedKeys('vm01'), await readdir(place.keys), (await remex.host('vm01').run('true')).success]
    const before = await seen()
    expect(await failureOf(remex.keys.rotate('vm01'))).toMatchObject({
      code: 'USAGE',
      vmId: 'vm01',
      message: expect.stringContaining(basename(path)) as string,
      hint: expect.stringContaining(what) as string,
    })
    expect(await seen()).toEqual(before)
  })

  it('rotates a key that has the certificate of an earlier key beside it', async () => {
    const path = join(place.keys, 'id_ed25519_vm01-cert.pub')
    await signKey(place.folder, { authority: makeKeyPair(), publicKey: makeKeyPair().publicKey, path })
    expect(await place.remex.keys.rotate('vm01')).toMatchObject({ rotated: true })
    expect(await opens()).toBe(true)
  })

  it('of a host without a key says how to make one', async () => {
    await using bare = await keyPlace(['vm01'])
    expect(await failureOf(bare.remex.keys.rotate('vm01'))).toMatchObject({ code: 'KEY_NOT_FOUND', hint: expect.stringContaining('remex keys setup vm01') as string })
  })
})

describe.skipIf(obstacle)(`keys rotate that is cut${skipping}`, () => {
  beforeAll(buildCommandLine, 60_000)

  /** Runs `remex keys rotate` and kills it at the given step of its own: a change of a name, or bytes sent. */
  async function cutAt(step: number): Promise<{ readonly killed: boolean; readonly steps: number }> {
    const config = join(place.folder, 'config.json')
    await writeFile(config, JSON.stringify(place.config))
    const [cli, hook] = [join(import.meta.dirname, '../../dist/cli.cjs'), join(import.meta.dirname, 'cut-at.cjs')]
    const child = spawn(process.execPath, ['--require', hook, cli, '--config', config, 'keys', 'rotate', 'vm01'], {
      env: { PATH: process.env.PATH, HOME: join(place.folder, 'home'), REMEX_STATE_DIR: join(place.folder, 'state'), CUT_AT: String(step) },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const said: Buffer[] = []
    child.stderr.on('data', (chunk: Buffer) => said.push(chunk))
    const [status, signal] = (await once(child, 'close')) as [number | null, string | null]
    const text = Buffer.concat(said).toString('utf8')
    if (signal === null) expect([status, text]).toEqual([0, expect.stringContaining('steps: ')])
    return { killed: signal === 'SIGKILL', steps: Number(/steps: (\d+)/.exec(text)?.[1] ?? 0) }
  }

  it('at any of its steps leaves access, and a repeat leaves one key', { timeout: 180_000 }, async () => {
    const whole = await cutAt(0)
    expect(whole.steps).toBeGreaterThan(20)
    let kills = 0
    for (let step = 1; step <= whole.steps; step++) {
      if ((await cutAt(step)).killed) kills++
      expect([step, await opens()]).toEqual([step, true])
    }
    expect(kills).toBeGreaterThan(20)
    const { fingerprint: ours } = await place.remex.keys.rotate('vm01')
    expect(await fingerprintsOnHost()).toEqual([ours])
  })
})

describe.skipIf(obstacle)(`keys revoke${skipping}`, () => {
  it('takes the host’s own key out, proves that it is refused, and puts it aside', async () => {
    const [own] = await fingerprintsOnHost()
    expect(await place.remex.keys.revoke('vm01')).toEqual({ vmId: 'vm01', fingerprint: own, removed: 1, own: true })
    expect((await place.records()).filter(({ event }) => event === 'finish').slice(-3).map(({ operation, error_code }) => [operation, error_code])).toEqual([
      ['key_remove', undefined], ['key_prove', 'AUTH_FAILED'], ['key_retire', undefined],
    ])
    expect(await fingerprintsOnHost()).toEqual([])
    expect(await opens()).toBe(false)
    expect((await readdir(place.keys)).filter((name) => name.startsWith('id_'))).toEqual([])
  })

  it('takes another key out by its fingerprint, and keeps access', async () => {
    const { home, uid, gid } = place.user('vm01')
    const path = join(home, '.ssh', 'authorized_keys')
    await writeFile(path, `no-pty ${stranger}\n${await place.authorizedKeys('vm01')}${stranger} again`)
    await chown(path, uid, gid)
    const wanted = fingerprint(parseHostKey(stranger)?.blob ?? Buffer.alloc(0))
    expect(await place.remex.keys.revoke('vm01', { fingerprint: wanted })).toEqual({ vmId: 'vm01', fingerprint: wanted, removed: 2, own: false })
    expect(await place.remex.keys.revoke('vm01', { fingerprint: wanted })).toMatchObject({ removed: 0 })
    expect(await opens()).toBe(true)
  })

  it('says where it could not, and keeps the key then', async () => {
    const remex = await place.open({ vms: { vm01: { ssh_port: 1 } } })
    expect(await failureOf(remex.keys.revoke('vm01'))).toMatchObject({ code: 'UNREACHABLE', vmId: 'vm01' })
    expect(await opens()).toBe(true)
  })

  it('says so where the host lets the key in by another file', async () => {
    await using both = await keyPlace(['vm01'], { config: [`AuthorizedKeysFile .ssh/authorized_keys .ssh/more`] })
    await both.remex.keys.setup('vm01', willing)
    const { home, uid, gid } = both.user('vm01')
    await writeFile(join(home, '.ssh', 'more'), await both.authorizedKeys('vm01'))
    await chown(join(home, '.ssh', 'more'), uid, gid)
    expect(await failureOf(both.remex.keys.revoke('vm01'))).toMatchObject({ code: 'PERMISSION_DENIED', message: expect.stringContaining('still lets') as string })
  })
})

describe.skipIf(obstacle)(`keys status${skipping}`, () => {
  it('shows the key, its age, and who else is let in', async () => {
    const { home, uid, gid } = place.user('vm01')
    const path = join(home, '.ssh', 'authorized_keys')
    await writeFile(path, `${await place.authorizedKeys('vm01')}from="10.0.0.1" ${stranger}\n`)
    await chown(path, uid, gid)
    const [own] = await fingerprintsOnHost()
    expect(await statusRows()).toEqual([{
      vmId: 'vm01', source: 'key_store', type: 'ssh-ed25519', fingerprint: own, ageDays: 0, rotationDays: 90, due: false, error: null,
      holders: { authorized: true, others: [{ type: 'ssh-ed25519', fingerprint: fingerprint(parseHostKey(stranger)?.blob ?? Buffer.alloc(0)), comment: 'ada@home', options: 'from="10.0.0.1"', retired: false }] },
    }])
  })

  it.each([[89, false], [90, true], [400, true]])('of a key of %i days says that it is due: %s', async (days, due) => {
    const then = new Date(Date.now() - days * 86_400_000 - 3_600_000)
    await utimes(join(place.keys, 'id_ed25519_vm01'), then, then)
    expect((await statusRows())[0]).toMatchObject({ ageDays: days, due })
  })

  it('goes by the date in the comment where the file is younger', async () => {
    const path = join(place.keys, 'id_ed25519_vm01.pub')
    await writeFile(path, (await readFile(path, 'utf8')).replace(/\d{4}-\d\d-\d\d/, '2020-01-31'))
    expect((await statusRows())[0]).toMatchObject({ due: true })
  })

  it('tells what is known of a host that cannot be asked', async () => {
    const [row] = await statusRows(await place.open({ vms: { vm01: { ssh_port: 1 } } }))
    expect(row).toMatchObject({ type: 'ssh-ed25519', holders: null, error: { code: 'UNREACHABLE' } })
  })

  it('knows an old key of ours that a rotation which was cut left there', async () => {
    const old = await place.authorizedKeys('vm01')
    await place.remex.keys.rotate('vm01')
    const { home, uid, gid } = place.user('vm01')
    const path = join(home, '.ssh', 'authorized_keys')
    await writeFile(path, (await place.authorizedKeys('vm01')) + old)
    await chown(path, uid, gid)
    expect((await statusRows())[0]?.holders?.others).toMatchObject([{ retired: true }])
    await place.remex.keys.rotate('vm01')
    expect((await statusRows())[0]?.holders?.others).toEqual([])
  })
})
