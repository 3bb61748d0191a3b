import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../../testkit/until.ts'
import { buildCommandLine, ended, Workshop } from './workshop.ts'

let shop: Workshop

beforeAll(async () => {
  buildCommandLine()
  shop = await Workshop.with(['vm01', 'vm02'])
  await writeFile(shop.path('local.txt'), 'content\n')
}, 60_000)

afterAll(async () => {
  await shop[Symbol.asyncDispose]()
})

const SHA256 = '434728a410a78f56fc1b5899c3593436e61ab0c731e9072d95e96db290205e53'

describe('put', () => {
  it('sends a file and prints its receipt', async () => {
    const { status, stdout, stderr } = await shop.call(['put', 'vm01', 'local.txt', 'there.txt', '--mode', '0640'])
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: `vm01: sent local.txt to there.txt, 8 B, sha256 ${SHA256}, verified\n`, stderr: '' })
    const path = join(shop.server('vm01').home, 'there.txt')
    expect(await readFile(path, 'utf8')).toBe('content\n')
    expect((await stat(path)).mode & 0o7777).toBe(0o640)
  })

  it('prints one object per host with --json', async () => {
    const { rows, status } = await shop.call(['put', 'vm01,vm02', 'local.txt', 'json.txt', '--json'])
    expect(status).toBe(0)
    expect(rows.map((row) => row['vm_id']).sort()).toEqual(['vm01', 'vm02'])
    expect(rows[0]).toMatchObject({ operation: 'upload', local: 'local.txt', remote: 'json.txt', size_bytes: 8, sha256: SHA256, verified: true, success: true, resumed_from_bytes: 0, error: null })
  })

  it('is quiet with --quiet', async () => {
    const { stdout, stderr } = await shop.call(['put', 'vm01,vm02', 'local.txt', 'quiet.txt', '--quiet'])
    expect(stdout + stderr).toBe('')
  })

  it('takes names with a leading dash behind --', async () => {
    await writeFile(shop.path('-dash it’s\n'), 'dash')
    expect((await shop.call(['put', 'vm01', '--', '-dash it’s\n', '-there'])).status).toBe(0)
    expect(await readFile(join(shop.server('vm01').home, '-there'), 'utf8')).toBe('dash')
  })

  it.each([
    ['a local file that is not there', ['put', 'vm01', 'nope', 'x'], 'LOCAL_NOT_FOUND'],
    ['a local directory', ['put', 'vm01', '.', 'x'], 'USAGE'],
    ['a directory on the host that is not there', ['put', 'vm01', 'local.txt', '/nope/x'], 'REMOTE_NOT_FOUND'],
    ['a mode that is none', ['put', 'vm01', 'local.txt', 'x', '--mode', '0999'], 'USAGE'],
    ['a file where a tree is meant', ['put', 'vm01', 'local.txt', 'x', '--recursive'], 'USAGE'],
    ['deleting without a tree', ['put', 'vm01', 'local.txt', 'x', '--delete'], 'USAGE'],
    ['a pattern without a tree', ['put', 'vm01', 'local.txt', 'x', '--exclude', '*.log'], 'USAGE'],
    ['a pattern that cannot be read', ['put', 'vm01', '.', 'x', '--recursive', '--exclude', '[a'], 'USAGE'],
    ['a rate at which nothing arrives', ['put', 'vm01', 'local.txt', 'x', '--limit-rate', '0'], 'USAGE'],
    ['a path too many', ['put', 'vm01', 'local.txt', 'x', 'y'], 'USAGE'],
  ])('gives 125 and the code for %s', async (_, words, code) => {
    const { status, rows } = await shop.call(['--json', ...words])
    expect(status).toBe(125)
    expect(rows[0]).toMatchObject({ error: { code } })
  })

  it('writes nothing with --dry-run', async () => {
    const sessions = shop.server('vm01').sessions
    const { rows } = await shop.call(['put', 'vm01', 'local.txt', '/srv/x', '--mode', '600', '--dry-run', '--json'])
    expect(rows).toEqual([expect.objectContaining({ vm_id: 'vm01', dry_run: true, operation: 'upload', local: 'local.txt', remote: '/srv/x', mode: '0600', timeout: null })])
    expect(shop.server('vm01').sessions).toBe(sessions)
  })
})

describe('get', () => {
  it('fetches a file of one host to the path that is given', async () => {
    await writeFile(join(shop.server('vm01').home, 'a.txt'), 'content\n')
    const { status, stdout } = await shop.call(['get', 'vm01', 'a.txt', 'fetched.txt'])
    expect({ status, stdout }).toEqual({ status: 0, stdout: `vm01: fetched a.txt to fetched.txt, 8 B, sha256 ${SHA256}, verified\n` })
    expect(await readFile(shop.path('fetched.txt'), 'utf8')).toBe('content\n')
  })

  it('makes a directory for each of several hosts, and gives 1 where one has no such file', async () => {
    await writeFile(join(shop.server('vm01').home, 'only-one.txt'), 'one')
    const { status, stderr } = await shop.call(['get', 'vm01,vm02', 'only-one.txt', 'out'])
    expect(status).toBe(1)
    expect(await readFile(shop.path('out', 'vm01', 'only-one.txt'), 'utf8')).toBe('one')
    expect(stderr).toMatch(/^remex: vm02: .*only-one\.txt/m)
    expect(stderr).toMatch(/remex: 2 hosts: 1 succeeded, 1 failed\n$/)
  })

  it('leaves the old file alone where it fails', async () => {
    await writeFile(shop.path('old.txt'), 'old')
    expect((await shop.call(['get', 'vm01', 'nope.txt', 'old.txt'])).status).toBe(125)
    expect(await readFile(shop.path('old.txt'), 'utf8')).toBe('old')
  })
})

describe('config', () => {
  it('check says that it is right, with counts', async () => {
    const { status, stdout } = await shop.call(['config', 'check'])
    expect({ status, stdout }).toEqual({ status: 0, stdout: `${shop.path('config.yml')}: ok, 2 hosts (0 disabled), 0 groups, no policy\n` })
  })

  it('check names file, line and key of a mistake, and the nearest right key', async () => {
    await writeFile(shop.path('wrong.yml'), 'vms:\n  vm01:\n    ip: 10.0.0.1\n    ssh_prot: 22\n')
    const { status, stderr } = await shop.call(['config', 'check', '--config', 'wrong.yml'])
    expect(status).toBe(125)
    expect(stderr).toMatch(/^remex: wrong\.yml:4:5: vms\.vm01\.ssh_prot: .*ssh_port/)
  })

  it('show prints what takes effect, which is a configuration again', async () => {
    const { stdout } = await shop.call(['config', 'show'])
    await writeFile(shop.path('shown.yml'), stdout)
    expect((await shop.call(['config', 'show', '--config', 'shown.yml'])).stdout).toBe(stdout)
    const [row] = (await shop.call(['config', 'show', '--json'])).rows
    expect(row).toMatchObject({ vms: { vm01: { ip: '127.0.0.1', enabled: true } }, remote_execution: { default_retry: 1 } })
  })

  it('schema needs no configuration', async () => {
    const { status, stdout } = await shop.call(['config', 'schema'], { env: { REMEX_CONFIG: '/nope' } })
    expect(status).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ type: 'object', properties: { vms: expect.any(Object) as object } })
  })
})

describe('init', () => {
  it('writes a configuration for its owner alone that is right, and keeps one that is there', async () => {
    const cwd = shop.path('fresh')
    await mkdir(cwd)
    const first = await shop.call(['init'], { cwd })
    expect(first.status).toBe(0)
    expect(first.stdout).toMatch(/^wrote configs\/config\.yml\n/)
    const path = join(cwd, 'configs', 'config.yml')
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect((await shop.call(['config', 'check'], { cwd, env: { REMEX_CONFIG: '' } })).status).toBe(0)

    await writeFile(path, 'mine')
    const second = await shop.call(['init'], { cwd })
    expect(second.status).toBe(0)
    expect(second.stdout).toContain('kept')
    expect(await readFile(path, 'utf8')).toBe('mine')
    expect((await shop.call(['init', '--json'], { cwd })).rows).toEqual([{ path: 'configs/config.yml', created: false }])
  })

  it('writes where --config says, and never through a link', async () => {
    await symlink(shop.path('elsewhere'), shop.path('link.yml'))
    expect((await shop.call(['init', '--config', 'link.yml'])).stdout).toContain('kept')
    expect((await shop.call(['init', '--config', 'own/mine.yml'])).status).toBe(0)
    expect((await stat(shop.path('own'))).mode & 0o777).toBe(0o700)
  })

  it('says that it may not write there', async () => {
    await writeFile(shop.path('a-file'), '')
    const { status, stderr } = await shop.call(['init', '--config', 'a-file/config.yml'])
    expect(status).toBe(125)
    expect(stderr).toMatch(/^remex: a-file\/config\.yml: /)
  })
})

describe('audit', () => {
  it('list prints the records that are asked for, as they are with --json', async () => {
    await shop.call(['run', 'vm02', '--user', 'ann', '-c', 'true # two\n: lines'])
    const { rows } = await shop.call(['audit', 'list', '--json', '--user', 'ann'])
    expect(rows.map((row) => row['event'])).toEqual(['begin', 'finish'])
    expect(rows[1]).toMatchObject({ user_id: 'ann', vm_id: 'vm02', operation: 'run', ended: 'exited', prev: rows[0]?.['hash'] })
    const { stdout } = await shop.call(['audit', 'list', '--host', 'vm02', '--status', 'success', '--limit', '1'])
    expect(stdout.split('\n')).toEqual([expect.stringMatching(/^SEQ +TIME +USER +HOST/), expect.stringContaining(String.raw`true # two\n: lines`), ''])
    expect((await shop.call(['audit', 'list', '--json', '--until', '2020-01-01'])).rows).toEqual([])
  })

  it.each([
    ['a status that is none', ['--status', 'maybe']],
    ['a moment that is none', ['--since', 'yesterday']],
    ['a limit that is none', ['--limit', '0']],
  ])('list refuses %s', async (_, words) => {
    expect((await shop.call(['audit', 'list', ...words])).status).toBe(125)
  })

  it('verify gives 0 with the count, and 1 naming the record that was altered', async () => {
    const records = (await shop.auditText()).split('\n').length - 1
    const right = await shop.call(['audit', 'verify'])
    expect(right.status).toBe(0)
    expect(right.stdout).toMatch(new RegExp(`^audit log: ok, ${records} records, head ${records} [0-9a-f]{64}\n {2}signed by SHA256:\\S+\n$`))

    const path = shop.path('audit', 'audit.jsonl')
    const text = await readFile(path, 'utf8')
    await writeFile(path, text.replace('"vm_id":"vm01"', '"vm_id":"vm09"'))
    const wrong = await shop.call(['audit', 'verify', '--json'])
    expect(wrong.status).toBe(1)
    expect(wrong.rows).toEqual([expect.objectContaining({ ok: false, problem: 'altered', seq: 1 })])
    expect((await shop.call(['audit', 'verify'])).stdout).toContain('record 1 was altered')
    await writeFile(path, text)
  })

  it('that cannot be written stops everything before it is sent', async () => {
    const { execs } = shop.server('vm01')
    const before = execs.length
    await writeFile(shop.path('blocked'), '')
    const config: unknown = JSON.parse(await readFile(shop.path('config.yml'), 'utf8'))
    const { vms, remote_execution: settings } = config as Record<string, object>
    await writeFile(shop.path('no-audit.yml'), JSON.stringify({ vms, remote_execution: { ...settings, audit_log_path: shop.path('blocked', 'audit') } }))
    const { status, rows } = await shop.call(['run', 'vm01', '--json', '--config', 'no-audit.yml', '--', 'true'])
    expect(status).toBe(125)
    expect(rows[0]).toMatchObject({ ended: 'not_started', error: { code: 'AUDIT_UNAVAILABLE' } })
    expect(execs.length).toBe(before)
  })
})

describe('a key that others can read', () => {
  it('is refused with what to type', async () => {
    await chmod(shop.path('keys', 'id_ed25519_vm01'), 0o644)
    const { status, stderr } = await shop.call(['run', 'vm01', '--', 'true'])
    await chmod(shop.path('keys', 'id_ed25519_vm01'), 0o600)
    expect(status).toBe(125)
    expect(stderr).toMatch(/others than its owner can use it \(mode 0644\)\n {2}chmod 600 /)
  })
})

describe('trees', () => {
  beforeAll(async () => {
    await mkdir(shop.path('tree/sub'), { recursive: true })
    await writeFile(shop.path('tree/a.txt'), 'one')
    await writeFile(shop.path('tree/sub/b.log'), 'two')
    await symlink('a.txt', shop.path('tree/link'))
  })

  it('go to several hosts, with a line for each and the counts', async () => {
    const { status, stdout, stderr } = await shop.call(['put', 'vm01,vm02', 'tree', 'site', '--recursive'])
    expect(status).toBe(0)
    expect(stdout.split('\n').sort().slice(1)).toEqual(['vm01', 'vm02'].map((id) => expect.stringMatching(`^${id}: sent tree to site, 2 files, 1 link, 6 B, manifest sha256 [0-9a-f]{64}, verified$`) as string))
    expect(stderr).toBe('remex: 2 hosts: 2 succeeded\n')
    for (const id of ['vm01', 'vm02']) expect(await readFile(join(shop.server(id).home, 'site/link'), 'utf8')).toBe('one')
  })

  it('come from several hosts into a directory for each', async () => {
    await shop.call(['put', 'vm01,vm02', 'tree', 'from', '--recursive'])
    expect((await shop.call(['get', 'vm01,vm02', 'from', 'fetched', '--recursive'])).status).toBe(0)
    for (const id of ['vm01', 'vm02']) expect(await readFile(shop.path(`fetched/${id}/sub/b.log`), 'utf8')).toBe('two')
    expect((await shop.call(['get', 'vm01', 'from', 'alone', '--recursive'])).status).toBe(0)
    expect(await readFile(shop.path('alone/sub/b.log'), 'utf8')).toBe('two')
  })

  it('have a receipt for each file in --json, and the whole in the audit log', async () => {
    const { rows } = await shop.call(['put', 'vm01', 'tree', 'receipts', '--recursive', '--delete', '--json'])
    expect(rows).toMatchObject([{ size_bytes: 6, verified: true, success: true, unchanged: 0, directories: 2, links: 1, deleted: 0, skipped: 0, failed: 0, failures: [] }])
    expect(rows[0]?.['files']).toMatchObject([{ path: 'a.txt', size_bytes: 3, verified: true }, { path: 'sub/b.log', size_bytes: 3, verified: true }])
    const { rows: records } = await shop.call(['audit', 'list', '--operation', 'upload', '--json'])
    expect(records.at(-1)).toMatchObject({ event: 'finish', recursive: true, delete: true, files: 2, unchanged: 0, deleted: 0, failed: 0, size_bytes: 6, sha256: rows[0]?.['sha256'] })
  })

  it('leave out what is excluded, in the order of the options', async () => {
    await shop.call(['put', 'vm01', 'tree', 'some', '--recursive', '--include', 'b.log', '--exclude', '*.log', '--exclude', 'link'])
    expect((await readdir(join(shop.server('vm01').home, 'some'), { recursive: true })).sort()).toEqual(['a.txt', 'sub', 'sub/b.log'])
  })

  it('are only compared with --dry-run', async () => {
    await shop.call(['put', 'vm01', 'tree', 'dry', '--recursive', '--exclude', 'sub/'])
    await writeFile(join(shop.server('vm01').home, 'dry/extra'), 'x')
    const { status, stdout, stderr } = await shop.call(['put', 'vm01', 'tree', 'dry', '--recursive', '--delete', '--dry-run'])
    expect({ status, stdout, stderr }).toEqual({
      status: 0,
      stdout: 'vm01: would delete extra\nvm01: would make   sub/\nvm01: would write  sub/b.log, 3 B\n',
      stderr: 'remex: vm01: 3 changes; nothing was done\n',
    })
    expect((await readdir(join(shop.server('vm01').home, 'dry'))).sort()).toEqual(['a.txt', 'extra', 'link'])
    const { rows } = await shop.call(['put', 'vm01', 'tree', 'dry', '--recursive', '--dry-run', '--json'])
    expect(rows).toMatchObject([{ vm_id: 'vm01', dry_run: true, error: null, changes: [{ action: 'make_directory', path: 'sub' }, { action: 'send', path: 'sub/b.log', size_bytes: 3 }] }])
  })

  it('of which some fail give 125 and tell which, and the rest is there', async () => {
    await mkdir(join(shop.server('vm01').home, 'partly/a.txt'), { recursive: true })
    const { status, stderr } = await shop.call(['put', 'vm01', 'tree', 'partly', '--recursive'])
    expect(status).toBe(125)
    expect(stderr).toMatch(/of the tree, 1 failed: a\.txt: .* --delete/s)
    expect(await readFile(join(shop.server('vm01').home, 'partly/sub/b.log'), 'utf8')).toBe('two')
  })

  it('move no faster than they may, all hosts together', async () => {
    await mkdir(shop.path('heavy'))
    for (const name of ['1', '2']) await writeFile(shop.path(`heavy/${name}`), Buffer.alloc(100_000, name))
    const startMs = performance.now()
    expect((await shop.call(['put', 'vm01,vm02', 'heavy', 'heavy', '--recursive', '--limit-rate', '400k'])).status).toBe(0)
    // The first batch passes at once; the second host waits for it.
    expect(performance.now() - startMs).toBeGreaterThan(400)
  })
})

describe('a transfer that is repeated with --resume', () => {
  it('goes on where a killed one stood, and says so', async () => {
    const content = Buffer.alloc(24_000_000, 'resume me. ')
    await writeFile(shop.path('large.bin'), content)
    const home = shop.server('vm01').home
    const child = shop.start(['put', 'vm01', 'large.bin', 'large.bin', '--limit-rate', '8M'])
    const part = async (): Promise<string | undefined> => (await readdir(home)).find((name) => name.startsWith('.large.bin.remex-'))
    await until(async () => (await stat(join(home, (await part()) ?? 'nothing'))).size > 3_000_000, { what: 'some of it to be there' })
    child.kill('SIGKILL')
    await ended(child)
    const { rows, status } = await shop.call(['put', 'vm01', 'large.bin', 'large.bin', '--resume', '--json'])
    expect(status).toBe(0)
    expect(rows[0]?.['resumed_from_bytes']).toBeGreaterThan(1_000_000)
    expect((await readFile(join(home, 'large.bin'))).equals(content)).toBe(true)
    expect(await part()).toBeUndefined()
  })
})
