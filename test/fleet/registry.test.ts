import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LONGEST_COMMAND, RunRegistry, type RunNote } from '../../src/fleet/registry.ts'

let folder: string
let directory: string
let registry: RunRegistry

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'remex-registry-'))
  directory = join(folder, 'state', 'runs')
  registry = new RunRegistry(directory)
})

afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

function note(more: Partial<RunNote> = {}): RunNote {
  return {
    runId: 'backup-1',
    vmId: 'vm01',
    user: 'operator',
    operation: 'run',
    command: "sh -c 'echo ünï'",
    startedAt: '2026-11-20T10:00:00.000Z',
    ended: null,
    exitCode: null,
    finishedAt: null,
    ...more,
  }
}

describe('the registry of runs', () => {
  it('is empty where its directory does not exist', async () => {
    expect(await registry.list()).toEqual([])
    expect(await registry.find('backup-1')).toEqual([])
  })

  it('gives back what was noted, from files of mode 0600 in a directory of mode 0700', async () => {
    await registry.add(note())
    expect(await registry.list()).toEqual([note()])
    expect(await readdir(directory)).toEqual(['backup-1.vm01.json'])
    expect((await stat(join(directory, 'backup-1.vm01.json'))).mode & 0o777).toBe(0o600)
    expect((await stat(directory)).mode & 0o777).toBe(0o700)
    expect(JSON.parse(await readFile(join(directory, 'backup-1.vm01.json'), 'utf8'))).toEqual({
      run_id: 'backup-1',
      vm_id: 'vm01',
      user: 'operator',
      operation: 'run',
      command: "sh -c 'echo ünï'",
      started_at: '2026-11-20T10:00:00.000Z',
      ended: null,
      exit_code: null,
      finished_at: null,
    })
  })

  it('has the end of a run once it is told, and makes no note of a run that it does not know', async () => {
    const end = { ended: 'exited', exitCode: 3, finishedAt: '2026-11-20T10:01:00.000Z' } as const
    await registry.add(note())
    await registry.finish('backup-1', 'vm01', end)
    await registry.finish('backup-1', 'vm02', end)
    expect(await registry.list()).toEqual([note(end)])
  })

  it('finds a run on every host that has it, and no other run whose id begins in the same way', async () => {
    await registry.add(note())
    await registry.add(note({ vmId: 'vm02' }))
    await registry.add(note({ runId: 'backup-10' }))
    await registry.add(note({ runId: 'backup-1.old' }))
    const found = await registry.find('backup-1')
    expect(found.map(({ runId, vmId }) => [runId, vmId]).sort()).toEqual([['backup-1', 'vm01'], ['backup-1', 'vm02']])
  })

  it('keeps runs apart whose ids and hosts would make the same name', async () => {
    await registry.add(note({ runId: 'a.b', vmId: 'c', command: 'one' }))
    await registry.add(note({ runId: 'a', vmId: 'b.c', command: 'two' }))
    expect((await registry.find('a.b')).map(({ command }) => command)).toEqual(['one'])
    expect((await registry.find('a')).map(({ command }) => command)).toEqual(['two'])
  })

  it('lists in the order of the start', async () => {
    await registry.add(note({ runId: 'a', startedAt: '2026-11-20T10:00:02.000Z' }))
    await registry.add(note({ runId: 'b', startedAt: '2026-11-20T10:00:01.000Z' }))
    expect((await registry.list()).map(({ runId }) => runId)).toEqual(['b', 'a'])
  })

  it('forgets what is removed, also twice', async () => {
    await registry.add(note())
    await registry.remove('backup-1', 'vm01')
    await registry.remove('backup-1', 'vm01')
    expect(await registry.list()).toEqual([])
  })

  it('cuts a command that is longer than people read', async () => {
    await registry.add(note({ command: '\u0001'.repeat(1_000_000) }))
    expect((await registry.list())[0]?.command).toHaveLength(LONGEST_COMMAND)
  })

  it.each([
    ['climbs out of the directory', '../x'],
    ['has a slash', 'a/b'],
    ['is empty', ''],
    ['begins with a dot', '.a'],
    ['is longer than 64 characters', 'a'.repeat(65)],
    ['ends with a line feed', 'a\n'],
  ])('refuses to note a run whose id %s', async (_, runId) => {
    await expect(registry.add(note({ runId }))).rejects.toMatchObject({ code: 'USAGE' })
    await expect(registry.remove(runId, 'vm01')).rejects.toMatchObject({ code: 'USAGE' })
    expect(await registry.find(runId)).toEqual([])
  })

  it('refuses to note a host whose id climbs out of the directory', async () => {
    await expect(registry.add(note({ vmId: '../../x' }))).rejects.toMatchObject({ code: 'USAGE' })
  })

  it.each([
    ['no JSON', 'backup-1.vm02.json', '{'],
    ['empty', 'backup-1.vm02.json', ''],
    ['JSON of another shape', 'backup-1.vm02.json', '{"run_id":"backup-1","vm_id":"vm02"}'],
    ['of another run than its name says', 'backup-1.vm02.json', JSON.stringify({ run_id: 'other', vm_id: 'vm02', user: '', operation: 'run', command: '', started_at: '', ended: null, exit_code: null, finished_at: null })],
    ['larger than any note', 'backup-1.vm02.json', ' '.repeat(100_000)],
    ['the rest of an interrupted write', '.remex-0011.tmp', '{'],
  ])('passes over a file that is %s', async (_, name, text) => {
    await registry.add(note())
    await writeFile(join(directory, name), text)
    expect(await registry.list()).toEqual([note()])
    expect(await registry.find('backup-1')).toEqual([note()])
  })

  it('passes over a directory and a dangling link under the name of a note', async () => {
    await registry.add(note())
    await mkdir(join(directory, 'backup-1.vm02.json'))
    await symlink('/nowhere', join(directory, 'backup-1.vm03.json'))
    expect(await registry.find('backup-1')).toEqual([note()])
  })
})
