import { spawn, spawnSync } from 'node:child_process'
import { chmod, chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildCommandLine, ended, Workshop, type Ended } from './workshop.ts'

const ME = userInfo().username
const CLI = join(import.meta.dirname, '../../dist/cli.cjs')
const NOBODY = Number(spawnSync('id', ['-u', 'nobody'], { encoding: 'utf8' }).stdout)

let shop: Workshop
let config: { vms: Record<string, object>; remote_execution: object }

beforeAll(async () => {
  buildCommandLine()
  shop = await Workshop.with(['vm01'], { hosts: { vm02: { ip: '10.0.0.2', enabled: false }, vm03: { ip: '10.0.0.3' } } })
  config = JSON.parse(await readFile(shop.path('config.yml'), 'utf8')) as typeof config
}, 60_000)
afterAll(() => shop[Symbol.asyncDispose]())

async function withPolicy(rules: readonly object[], more: object = {}): Promise<void> {
  await writeFile(shop.path('config.yml'), JSON.stringify({ ...config, policy: { rules, ...more } }))
}

const opIdIn = ({ stderr }: Ended): string => /remex approve (\S+);/.exec(stderr)?.[1] ?? `none in: ${stderr}`

/** Why the command line cannot be run as another user here; undefined where it can. */
function whyNobodyElse(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can be another user'
  const { status } = spawnSync(process.execPath, [CLI, '--version'], { uid: NOBODY, gid: NOBODY, env: {}, cwd: '/' })
  return status === 0 ? undefined : 'another user cannot read this checkout, or start node'
}

/** The command line as the user nobody, with a configuration and a log of their own, and the same directory of requests. */
async function asNobody(words: readonly string[]): Promise<Ended> {
  const home = shop.path('nobody')
  await mkdir(home, { recursive: true })
  await Promise.all([chown(home, NOBODY, NOBODY), chmod(shop.folder, 0o755)])
  const policy = { rules: [], approvals_path: shop.path('shared') }
  await writeFile(shop.path('nobody.yml'), JSON.stringify({ vms: config.vms, policy, remote_execution: { audit_log_path: join(home, 'audit') } }))
  const env = { PATH: process.env['PATH'], HOME: home, REMEX_CONFIG: shop.path('nobody.yml') }
  return ended(spawn(process.execPath, [CLI, ...words], { uid: NOBODY, gid: NOBODY, cwd: home, env, stdio: ['ignore', 'pipe', 'pipe'] }))
}

describe('a command that a rule asks an approval of', () => {
  it('is refused, approved by another user of the operating system, runs once, and is refused again', async (context) => {
    const why = whyNobodyElse()
    if (why !== undefined) return context.skip(why)
    await mkdir(shop.path('shared'))
    await chmod(shop.path('shared'), 0o1777)
    await withPolicy([{ effect: 'ask', users: [ME] }], { approvals_path: shop.path('shared') })
    const run = (...words: string[]): Promise<Ended> => shop.call(['run', 'vm01', '--', ...words])

    const refused = await run('echo', 'a b')
    const opId = opIdIn(refused)
    expect(refused).toMatchObject({ status: 125, stdout: '', stderr: expect.stringMatching(/^remex: vm01: rule 1 asks for an approval of run on vm01\n {2}Somebody else types, before .*: remex approve /) as string })
    expect(await shop.call(['approve', opId])).toMatchObject({ status: 125, stderr: expect.stringContaining(`${ME} is who asks`) as string })
    expect(opIdIn(await run('echo', 'a b'))).toBe(opId)

    const listed = await asNobody(['approve'])
    expect(listed).toMatchObject({ status: 0, stderr: '' })
    expect(listed.stdout).toMatch(new RegExp(`^OP-ID +USER +HOST +OPERATION +RULE +EXPIRES +WHAT\n${opId} +${ME} +vm01 +run +1 +\\S+ +echo 'a b'\n$`))
    expect(await asNobody(['approve', opId])).toMatchObject({ status: 0, stderr: '', stdout: expect.stringMatching(new RegExp(`^approved ${opId}: ${ME} may run on vm01: echo 'a b', once, before `)) as string })

    expect(opIdIn(await run('echo', 'a', 'b'))).not.toBe(opId)
    expect(await run('echo', 'a b')).toMatchObject({ status: 0, stdout: 'a b\n' })
    expect(opIdIn(await run('echo', 'a b'))).not.toBe(opId)

    const events = (await shop.auditText()).trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(events.map(({ event, op_id: id }) => (id === opId ? `${String(event)} it` : event))).toEqual(['asked it', 'denied it', 'asked it', 'asked', 'begin', 'finish', 'asked'])
    expect(events[4]).toMatchObject({ approval: opId, approved_by: 'nobody', approved_by_os_user: 'nobody' })
    const [theirs] = (await readFile(shop.path('nobody', 'audit', 'audit.jsonl'), 'utf8')).split('\n')
    expect(JSON.parse(theirs ?? '')).toMatchObject({ event: 'approved', op_id: opId, user_id: 'nobody', os_user: 'nobody', command: "echo 'a b'", status: 'success' })
    expect(await shop.call(['audit', 'verify'])).toMatchObject({ status: 0 })
    return undefined
  })

  it('lists, approves and refuses with --json, one object for each', async () => {
    await withPolicy([{ effect: 'ask', speaks_for: ['alice', 'bob'] }])
    const [refused] = (await shop.call(['run', 'vm01', '--user', 'alice', '--json', '--', 'true'])).rows
    expect(refused).toMatchObject({ state: 'denied', error: { code: 'POLICY_DENIED' } })
    const { rows } = await shop.call(['approve', '--user', 'bob', '--json'])
    expect(rows).toEqual([{ op_id: expect.any(String), vm_id: 'vm01', user: 'alice', os_user: ME, operation: 'run', command: 'true', details: '', rule: 1, approvers: [], asked: expect.any(String), expires: expect.any(String) }])
    const opId = String(rows[0]?.['op_id'])
    const done = await shop.call(['approve', 'nope', opId, '--user', 'bob', '--json'])
    expect(done.status).toBe(125)
    expect(done.rows).toMatchObject([{ op_id: 'nope', error: { code: 'USAGE' } }, { op_id: opId, user: 'alice', error: null }])
    expect((await shop.call(['approve', '--user', 'bob'])).stderr).toBe('remex: nothing waits for an approval\n')
  })
})

describe('policy test', () => {
  const RULES = [{ effect: 'deny', users: ['eve'] }, { effect: 'ask', operations: ['upload'] }, { effect: 'allow', users: ['alice'], hosts: ['vm01'], commands: [['df', '**']] }, { effect: 'allow', users: ['alice'], shell: true, hosts: ['vm03'] }]

  it.each<[string, string[], number, string]>([
    ['what allows', ['--user', 'alice', '--', 'df', '-h'], 0, 'vm01: allow: rule 3 allows it\n  rule 1 is about other users\n  rule 2 is about other operations\n  rule 3 of FILE: { effect: allow, users: [ alice ], hosts: [ vm01 ], commands: [ [ df, "**" ] ], shell: false }\n'],
    ['what denies', ['--user', 'eve', '--', 'df'], 1, 'vm01: deny: rule 1 denies it\n  rule 1 of FILE: { effect: deny, users: [ eve ], shell: false }\n'],
    ['what asks', ['--operation', 'upload'], 1, 'vm01: ask: rule 2 asks for an approval\n  rule 1 is about other users\n  rule 2 of FILE: { effect: ask, operations: [ upload ], shell: false, expires: 3600s }\n'],
    ['that nothing allows it', ['--user', 'alice', '-c', 'df'], 1, 'vm01: deny: no rule of the policy allows it\n  rule 1 is about other users\n  rule 2 is about other operations\n  rule 3 does not allow shell text\n  rule 4 is about other hosts\n'],
  ])('says %s, and why the rules before did not', async (_what, words, status, text) => {
    await withPolicy(RULES)
    const call = await shop.call(['policy', 'test', '--host', 'vm01', ...words])
    expect([call.status, call.stdout.replaceAll(shop.path('config.yml'), 'FILE'), call.stderr]).toEqual([status, text, ''])
  })

  it('gives one object for each host with --json, also for hosts that may not be used, and connects to none', async () => {
    await withPolicy(RULES)
    const sessions = shop.server('vm01').sessions
    const { rows, status } = await shop.call(['policy', 'test', '--json', '--user', 'alice', '--host', 'all', '--', 'df'])
    expect(status).toBe(1)
    const passed = [{ rule: 1, because: 'user' }, { rule: 2, because: 'operation' }]
    expect(rows).toEqual([
      { vm_id: 'vm01', user: 'alice', operation: 'run', effect: 'allow', rule: 3, reason: 'rule 3 allows it', passed_over: passed },
      { vm_id: 'vm02', user: 'alice', operation: 'run', effect: 'deny', rule: null, reason: 'vm02 may not be used: it is disabled in the configuration', passed_over: [] },
      { vm_id: 'vm03', user: 'alice', operation: 'run', effect: 'allow', rule: 4, reason: 'rule 4 allows it', passed_over: [...passed, { rule: 3, because: 'host' }] },
    ])
    expect(shop.server('vm01').sessions).toBe(sessions)
  })

  it('says where there is no policy', async () => {
    await writeFile(shop.path('config.yml'), JSON.stringify(config))
    expect(await shop.call(['policy', 'test', '--host', 'vm01', '--', 'df'])).toMatchObject({ status: 0, stdout: 'vm01: allow: there is no policy\n' })
  })

  it.each([
    ['no host', ['--', 'df']],
    ['a host that is not there', ['--host', 'vm09', '--', 'df']],
    ['no command', ['--host', 'vm01']],
    ['a command twice', ['--host', 'vm01', '-c', 'df', '--', 'df']],
    ['an operation that is none', ['--host', 'vm01', '--operation', 'dance', '--', 'df']],
    ['words for a transfer', ['--host', 'vm01', '--operation', 'upload', '--', 'df']],
  ])('refuses a call with %s', async (_what, words) => {
    expect(await shop.call(['policy', 'test', ...words])).toMatchObject({ status: 125, stdout: '' })
  })
})
