import { chmod, chown, copyFile, link, lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ApprovalRequest, AskedFor } from '../../src/policy/approval-request.ts'
import { ApprovalStore, type StoredRequest } from '../../src/policy/approvals.ts'
import { FakeClock } from '../../testkit/fake-clock.ts'
import { program, type Program } from '../audit/child.ts'
import { failureOf } from '../failure-of.ts'

const isRoot = process.getuid?.() === 0
/** Files of other owners can be made by root alone. */
const asRoot = it.skipIf(!isRoot)

const ME = process.getuid?.() ?? 0
const BOB = 1001
const NAMES: Readonly<Record<number, string>> = { [ME]: 'alice', [BOB]: 'bob' }

const ASKED: AskedFor = { user: 'alice', osUser: 'alice', vmId: 'vm01', operation: 'run', command: 'reboot', details: '', rule: 1, approvers: [], digest: 'd'.repeat(64) }
const HOUR_MS = 3_600_000

let folder: string
let directory: string
let clock: FakeClock
let store: ApprovalStore

const storeOf = (uid: number): ApprovalStore => new ApprovalStore({ directory, clock, uid, nameOf: (one) => Promise.resolve(NAMES[one]) })

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'remex-approvals-'))
  directory = join(folder, 'approvals')
  clock = new FakeClock()
  store = storeOf(ME)
})
afterEach(() => rm(folder, { recursive: true }))

async function asked(facts: Partial<AskedFor> = {}, expiresMs = HOUR_MS): Promise<ApprovalRequest> {
  const request = store.draft({ ...ASKED, ...facts }, expiresMs)
  await store.add(request)
  return request
}

async function found(opId: string): Promise<StoredRequest> {
  const stored = await store.find(opId)
  if (!stored) throw new Error('there is no such request')
  return stored
}

const path = (opId: string, kind: string): string => join(directory, `${opId}.${kind}`)

/** Bob approves it: the file is his. */
async function approvedByBob(opId: string): Promise<StoredRequest> {
  const stored = await found(opId)
  await storeOf(BOB).approve(stored, 'bob')
  await chown(path(opId, 'approved'), BOB, BOB)
  return stored
}

describe('a request', () => {
  it('is a file of mode 0644 in a directory of mode 0700, and leaves nothing else there', async () => {
    const { opId } = await asked()
    expect((await stat(directory)).mode & 0o777).toBe(0o700)
    expect((await stat(path(opId, 'json'))).mode & 0o777).toBe(0o644)
    expect(await readdir(directory)).toEqual([`${opId}.json`])
  })

  it('reads back as it was asked for, and is valid as long as its rule says', async () => {
    const request = await asked({ user: 'svc\u202e', command: 'echo "\ud800"\n', approvers: ['bob'] })
    expect((await found(request.opId)).request).toEqual(request)
    expect(Date.parse(request.expires) - Date.parse(request.asked)).toBe(HOUR_MS)
    expect(await store.pending()).toEqual([request])
  })

  it('is found again by who asks for the very same, and by nobody who asks for anything else', async () => {
    const { opId } = await asked()
    const ids = async (facts: Partial<AskedFor>): Promise<string[]> => (await storeOf(ME).waiting({ ...ASKED, ...facts })).map(({ request }) => request.opId)
    expect(await ids({})).toEqual([opId])
    const others: Partial<AskedFor>[] = [{ digest: 'e'.repeat(64) }, { command: 'reboot now' }, { details: 'sudo root' }, { user: 'bob' }, { vmId: 'vm02' }, { operation: 'script' }, { rule: 2 }, { approvers: ['bob'] }]
    for (const other of others) expect(await ids(other)).toEqual([])
  })

  it('that shows another text than that of its digest is not found by who asks', async () => {
    const { opId } = await asked()
    const text = await readFile(path(opId, 'json'), 'utf8')
    await writeFile(path(opId, 'json'), text.replace('reboot', 'uptime'))
    expect(await store.pending()).toMatchObject([{ command: 'uptime' }])
    expect(await storeOf(ME).waiting(ASKED)).toEqual([])
  })

  it('ends with its time', async () => {
    const { opId } = await asked()
    const stored = await found(opId)
    await clock.advance(HOUR_MS - 1)
    expect(await store.state(stored)).toBe('pending')
    await clock.advance(1)
    expect(await store.state(stored)).toBe('expired')
    expect([await store.pending(), await store.waiting(ASKED)]).toEqual([[], []])
  })

  it('is removed by its owner some time after it has ended, with what belongs to it', async () => {
    const { opId } = await asked()
    await store.approve(await found(opId), 'bob')
    await store.take(await found(opId))
    await clock.advance(HOUR_MS)
    store = storeOf(ME)
    const next = await asked()
    expect(await readdir(directory)).toEqual([`${next.opId}.json`])
  })

  it('that was used stays with its mark until it has ended, so that no approval can be used again', async () => {
    const { opId } = await asked()
    await store.approve(await found(opId), 'bob')
    await store.take(await found(opId))
    await clock.advance(HOUR_MS - 1)
    store = storeOf(ME)
    await asked({ digest: 'e'.repeat(64) })
    expect(await readdir(directory)).toEqual(expect.arrayContaining([`${opId}.json`, `${opId}.used`]))
  })

  it.each(['nope', '../x', '20260131t120000-0000000000000000', ''])('of the id "%s" is not there', async (opId) => {
    await asked()
    expect(await store.find(opId)).toBeUndefined()
  })

  it.each<[string, (file: string) => Promise<void>]>([
    ['is a symbolic link', async (file) => { await rename(file, join(folder, 'x')); await symlink(join(folder, 'x'), file) }],
    ['has another name too', (file) => link(file, join(folder, 'x'))],
    ['can be written by the group', (file) => chmod(file, 0o664)],
    ['can be written by everyone', (file) => chmod(file, 0o646)],
    ['is half of one', async (file) => truncate(file, (await stat(file)).size >> 1)],
    ['is larger than 64 KiB', async (file) => writeFile(file, `${await readFile(file, 'utf8')}${' '.repeat(65_536)}`)],
    ['is a directory', async (file) => { await rm(file); await mkdir(file) }],
    ['has a time that is none', async (file) => writeFile(file, (await readFile(file, 'utf8')).replace(/"expires":"[^"]*"/, '"expires":"never"'))],
    ['is of another id', async (file) => writeFile(file, (await readFile(file, 'utf8')).replace(/"op_id":"."/, '"op_id":"9"').replace(/"op_id":"\d{8}/, '"op_id":"19990101'))],
    ['names another user than its owner', async (file) => writeFile(file, (await readFile(file, 'utf8')).replace('"os_user":"alice"', '"os_user":"bob"'))],
  ])('that %s does not count', async (_what, spoil) => {
    const { opId } = await asked()
    await spoil(path(opId, 'json'))
    expect(await store.find(opId)).toBeUndefined()
    expect([await store.pending(), await store.waiting(ASKED)]).toEqual([[], []])
  })

  asRoot('of another owner than the user it names does not count, and neither does one of an owner without a name', async () => {
    const { opId } = await asked()
    for (const uid of [BOB, 4242]) {
      await chown(path(opId, 'json'), uid, uid)
      expect(await store.find(opId)).toBeUndefined()
    }
  })

  asRoot('of another user is seen by who approves, and is nobody else’s to use', async () => {
    const { opId } = await asked({ user: 'bob', osUser: 'bob' })
    await chown(path(opId, 'json'), BOB, BOB)
    expect(await store.pending()).toMatchObject([{ opId, osUser: 'bob' }])
    expect(await store.waiting({ ...ASKED, user: 'bob', osUser: 'bob' })).toEqual([])
  })

  it('in a directory that everyone may change is refused', async () => {
    await mkdir(directory)
    await chmod(directory, 0o777)
    expect(await failureOf(asked())).toMatchObject({ code: 'PERMISSION_DENIED' })
    await chmod(directory, 0o1777)
    await asked()
  })

  it('in a directory that is not there is not waited for', async () => {
    expect([await store.pending(), await store.waiting(ASKED)]).toEqual([[], []])
  })
})

describe('an approval', () => {
  it('is by who owns its file, whatever name it gives', async () => {
    const { opId } = await asked()
    await store.approve(await found(opId), 'bob')
    expect(await store.approver(await found(opId))).toEqual({ user: 'bob', osUser: 'alice' })
    expect((await stat(path(opId, 'approved'))).mode & 0o777).toBe(0o644)
  })

  asRoot('by another user is told by the owner of the file', async () => {
    const { opId } = await asked()
    const stored = await approvedByBob(opId)
    expect(await store.approver(stored)).toEqual({ user: 'bob', osUser: 'bob' })
    expect(await store.state(stored)).toBe('approved')
    expect(await store.pending()).toEqual([])
  })

  asRoot('by an owner whom nobody knows does not count', async () => {
    const { opId } = await asked()
    const stored = await approvedByBob(opId)
    await chown(path(opId, 'approved'), 4242, 4242)
    expect(await store.approver(stored)).toMatch(/number 4242/)
    expect(await store.state(stored)).toBe('pending')
  })

  it.each<[string, (file: string) => Promise<void>, RegExp]>([
    ['is a symbolic link', async (file) => { await rename(file, join(folder, 'x')); await symlink(join(folder, 'x'), file) }, /symbolic link/],
    ['has another name too', (file) => link(file, join(folder, 'x')), /hard link/],
    ['can be written by the group', (file) => chmod(file, 0o664), /others than its owner/],
    ['can be written by everyone', (file) => chmod(file, 0o646), /others than its owner/],
    ['is half of one', async (file) => truncate(file, (await stat(file)).size >> 1), /not of this request/],
    ['is empty', (file) => truncate(file, 0), /not of this request/],
    ['is larger than 64 KiB', async (file) => writeFile(file, `${await readFile(file, 'utf8')}${' '.repeat(65_536)}`), /64 KiB/],
    ['is a directory', async (file) => { await rm(file); await mkdir(file) }, /regular file/],
    ['has another digest', async (file) => writeFile(file, (await readFile(file, 'utf8')).replace('dddd', 'eeee')), /not of this request/],
    ['is of another request', async (file) => writeFile(file, (await readFile(file, 'utf8')).replace(/"op_id":"\d/, '"op_id":"9')), /not of this request/],
  ])('that %s does not count', async (_what, spoil, why) => {
    const { opId } = await asked()
    const stored = await found(opId)
    await store.approve(stored, 'bob')
    await spoil(path(opId, 'approved'))
    expect(await store.approver(stored)).toMatch(why)
    expect(await store.state(stored)).toBe('pending')
  })

  it('of one request is none of another for the same', async () => {
    const [one, other] = [await asked(), await asked()]
    await store.approve(await found(one.opId), 'bob')
    await copyFile(path(one.opId, 'approved'), path(other.opId, 'approved'))
    expect(await store.approver(await found(other.opId))).toMatch(/not of this request/)
  })

  it('of a request that was altered afterwards does not count', async () => {
    const { opId } = await asked()
    await store.approve(await found(opId), 'bob')
    const text = await readFile(path(opId, 'json'), 'utf8')
    await writeFile(path(opId, 'json'), text.replace(/"expires":"2026/, '"expires":"2027'))
    expect(await store.approver(await found(opId))).toMatch(/not of this request/)
  })

  it('replaces what lies in its place and is none, a symbolic link too, and follows nothing', async () => {
    const { opId } = await asked()
    await writeFile(join(folder, 'victim'), 'kept')
    await symlink(join(folder, 'victim'), path(opId, 'approved'))
    const stored = await found(opId)
    await store.approve(stored, 'bob')
    expect(await store.state(stored)).toBe('approved')
    expect(await readFile(join(folder, 'victim'), 'utf8')).toBe('kept')
  })
})

describe('taking an approval', () => {
  it('goes once', async () => {
    const { opId } = await asked()
    const stored = await found(opId)
    expect(await store.take(stored)).toBe(true)
    expect(await store.take(stored)).toBe(false)
    expect(await store.state(stored)).toBe('used')
    expect(await store.waiting(ASKED)).toEqual([])
  })

  it('does not go after its time, even for who began before', async () => {
    const { opId } = await asked()
    const stored = await found(opId)
    await clock.advance(HOUR_MS)
    expect(await store.take(stored)).toBe(false)
  })

  it('does not go when the request was removed or altered since it was read', async () => {
    const [one, other] = [await found((await asked()).opId), await found((await asked()).opId)]
    await rm(path(one.request.opId, 'json'))
    await writeFile(path(other.request.opId, 'json'), (await readFile(path(other.request.opId, 'json'), 'utf8')).replace('reboot', 'halt'))
    expect([await store.take(one), await store.take(other)]).toEqual([false, false])
  })

  it('does not follow a link where its mark should be', async () => {
    const { opId } = await asked()
    await symlink(join(folder, 'nowhere'), path(opId, 'used'))
    expect(await store.state(await found(opId))).toBe('used')
    expect(await store.take(await found(opId))).toBe(false)
    expect(await lstat(join(folder, 'nowhere')).catch(() => undefined)).toBeUndefined()
  })

  it('goes for one of twenty in one process', async () => {
    const stored = await found((await asked()).opId)
    const taken = await Promise.all(Array.from({ length: 20 }, () => storeOf(ME).take(stored)))
    expect(taken.filter(Boolean)).toHaveLength(1)
  })

  it('goes for one of twenty processes', async () => {
    const { opId } = await asked()
    const worker: Program = await program(`
      import { ApprovalStore } from './policy/approvals.ts'
      const [directory, uid, opId, now] = process.argv.slice(2)
      const clock = { now: () => Number(now) }
      const store = new ApprovalStore({ directory, clock, uid: Number(uid), nameOf: async () => 'alice' })
      const stored = await store.find(opId)
      console.log('ready')
      process.stdin.once('data', async () => {
        console.log(await store.take(stored) ? 'taken' : 'late')
        process.exit()
      })
    `)
    const children = Array.from({ length: 20 }, () => worker.start(directory, String(ME), opId, String(clock.now())))
    expect(await Promise.all(children.map((child) => child.line()))).toEqual(children.map(() => 'ready'))
    for (const child of children) child.process.stdin?.write('go\n')
    const said = await Promise.all(children.map((child) => child.line()))
    await worker.remove()
    expect(said.toSorted()).toEqual([...Array.from({ length: 19 }, () => 'late'), 'taken'])
  })
})
