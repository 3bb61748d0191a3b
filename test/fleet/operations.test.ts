import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { HostState } from '../../src/core/host-state.ts'
import { newRunId } from '../../src/core/run-id.ts'
import { commandHash, Operations, type Operation } from '../../src/fleet/operations.ts'
import type { RunOptions, RunRequest, ScriptRequest } from '../../src/fleet/requests.ts'
import { restOf } from '../../src/fleet/retry.ts'

const NOW = Date.UTC(2026, 10, 20, 12)
const DAY_MS = 86_400_000
let folder: string
let directory: string
let operations: Operations

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'remex-operations-'))
  directory = join(folder, 'state', 'operations')
  operations = new Operations(directory)
})

afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

function operation(more: Partial<Operation> = {}): Operation {
  return { id: newRunId(NOW), user: 'operator', commandHash: 'ab', finishedAt: '2026-11-20T12:00:00.000Z', hosts: new Map([['vm01', { state: 'failed', runId: null }]]), ...more }
}

describe('the note of an operation', () => {
  it('comes back as it was written, from a file of mode 0600 in a directory of mode 0700', async () => {
    const one = operation({ hosts: new Map([['vm01', { state: 'lost', runId: 'backup-1' }], ['12', { state: 'succeeded', runId: null }]]) })
    await operations.write(one, NOW)
    expect(await operations.read(one.id)).toEqual(one)
    expect((await stat(join(directory, `${one.id}.json`))).mode & 0o777).toBe(0o600)
    expect((await stat(directory)).mode & 0o777).toBe(0o700)
  })

  it('is replaced by a later one of the same id', async () => {
    const one = operation()
    await operations.write(one, NOW)
    await operations.write({ ...one, hosts: new Map([['vm01', { state: 'succeeded', runId: null }]]) }, NOW)
    expect((await operations.read(one.id))?.hosts.get('vm01')?.state).toBe('succeeded')
    expect(await readdir(directory)).toHaveLength(1)
  })

  it('is kept for 30 days', async () => {
    const [old, young] = [operation({ id: newRunId(NOW - 31 * DAY_MS) }), operation({ id: newRunId(NOW - 29 * DAY_MS) })]
    for (const one of [old, young]) await operations.write(one, NOW - 29 * DAY_MS)
    await operations.write(operation(), NOW)
    expect(await operations.read(old.id)).toBeUndefined()
    expect(await operations.read(young.id)).toEqual(young)
  })

  it('is one of 200 at most, the newest', async () => {
    const ids = Array.from({ length: 205 }, (_, index) => newRunId(NOW - index * 1000))
    await operations.write(operation(), NOW)
    for (const id of ids) await writeFile(join(directory, `${id}.json`), '{}')
    const last = operation({ id: newRunId(NOW + 1000) })
    await operations.write(last, NOW)
    expect((await readdir(directory)).toSorted()).toHaveLength(200)
    expect(await readdir(directory)).not.toContain(`${ids.at(-1) ?? ''}.json`)
    expect(await operations.read(last.id)).toEqual(last)
  })

  it('leaves alone what is none', async () => {
    await operations.write(operation(), NOW - 31 * DAY_MS)
    await writeFile(join(directory, 'read-me.json'), '')
    await operations.write(operation(), NOW)
    expect(await readdir(directory)).toContain('read-me.json')
  })

  it.each([
    ['no JSON', '{'],
    ['JSON of another shape', '{"op_id":"x"}'],
    ['of another operation', JSON.stringify({ op_id: newRunId(NOW), user: '', command_sha256: '', finished_at: '', hosts: {} })],
    ['of a state that there is not', JSON.stringify({ op_id: '20261120t120000-0123456789abcdef', user: '', command_sha256: '', finished_at: '', hosts: { vm01: { state: 'fine' } } })],
  ])('is missing where the file is %s', async (_, text) => {
    await operations.write(operation(), NOW)
    const id = '20261120t120000-0123456789abcdef'
    await writeFile(join(directory, `${id}.json`), text)
    expect(await operations.read(id)).toBeUndefined()
  })

  it.each(['../../etc/passwd', 'a/b', '', 'nightly'])('is missing where the id is %j', async (id) => {
    expect(await operations.read(id)).toBeUndefined()
  })
})

const run = (command: RunRequest['command'], options: RunOptions = {}): RunRequest => ({ operation: 'run', command, options })
const script = (path: string, options: ScriptRequest['options'] = {}): ScriptRequest => ({ operation: 'script', path, options })

describe('a command is known', () => {
  it('by what it runs, whatever its deadline, its variables and its input are', () => {
    expect(commandHash(run('x', { timeout: '5s', env: { A: 'b' }, stdin: 'in', idempotent: true }))).toBe(commandHash(run('x')))
  })

  it('apart from every other', () => {
    const all = [run('a b'), run(['a', 'b']), run(['a b']), run('a  b'), script('a b'), script('a', { args: ['b'] }), script('a', { args: ['b'], interpreter: 'sh' }), script('a', { args: ['b'], remote: true })]
    expect(new Set(all.map(commandHash)).size).toBe(all.length)
  })
})

describe('the rest of an operation', () => {
  it.each<readonly [HostState, RunOptions, 'again' | 'attached' | 'unsure' | 'not']>([
    ['succeeded', {}, 'not'],
    ['succeeded', { idempotent: true, durable: true }, 'not'],
    ['failed', {}, 'again'],
    ['signaled', {}, 'again'],
    ['unreachable', {}, 'again'],
    ['denied', {}, 'again'],
    ['not_tried', {}, 'again'],
    ['not_started', {}, 'again'],
    ['failed', { durable: true }, 'again'],
    ['lost', {}, 'unsure'],
    ['timed_out', {}, 'unsure'],
    ['cancelled', {}, 'unsure'],
    ['not_recorded', {}, 'unsure'],
    ['lost', { idempotent: true }, 'again'],
    ['timed_out', { idempotent: true }, 'again'],
    ['lost', { durable: true }, 'attached'],
    ['cancelled', { durable: true, idempotent: true }, 'attached'],
    ['timed_out', { durable: true }, 'attached'],
    ['timed_out', { durable: true, idempotent: true }, 'again'],
  ])('has a host that is %s, with %j: %s', (state, options, expected) => {
    const hosts: Operation['hosts'] = new Map([['vm01', { state, runId: options.durable ? 'run-1' : null }]])
    const { ids, runIds, unsure } = restOf(operation({ hosts }), ['vm01', 'vm02'], run('x', options))
    const place = unsure.length > 0 ? 'unsure' : ids.length === 0 ? 'not' : runIds.get('vm01') === 'run-1' ? 'attached' : 'again'
    expect(place).toBe(expected)
    expect([...ids, ...unsure.map(({ id }) => id)]).not.toContain('vm02')
  })
})
