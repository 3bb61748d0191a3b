import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RemexError } from '../../src/core/errors.ts'
import * as faults from '../../testkit/fault-servers.ts'
import { startSshServer, type TestSshServer } from '../../testkit/ssh-server.ts'
import { fleetOf, type TestFleet } from '../interop/fleet-of.ts'

const IDS = ['vm01', 'vm02', 'vm03']
let servers: readonly TestSshServer[]
let fleet: TestFleet

beforeAll(async () => {
  servers = await Promise.all(IDS.map((id) => startSshServer({ env: { NAME: id } })))
  const vms = { vm01: { groups: ['lab'] }, vm02: { role: 'db' }, vm03: { groups: ['lab'] } }
  fleet = await fleetOf(Object.fromEntries(IDS.map((id, index) => [id, servers[index] as TestSshServer])), { vms, settings: { connect_timeout: '20s' } })
})
afterAll(async () => {
  await fleet[Symbol.asyncDispose]()
  await Promise.all(servers.map((server) => server.close()))
})

async function all<T>(reports: AsyncIterable<T>): Promise<T[]> {
  const taken: T[] = []
  for await (const report of reports) taken.push(report)
  return taken
}

const byHost = (results: readonly { vmId: string; stdout: string }[]): Record<string, string> => Object.fromEntries(results.map(({ vmId, stdout }) => [vmId, stdout]))

describe('several hosts', () => {
  it('each run the command and report for themselves', async () => {
    expect(byHost(await all(fleet.remex.hosts('all').run('echo "$NAME $((6 * 7))"')))).toEqual({ vm01: 'vm01 42\n', vm02: 'vm02 42\n', vm03: 'vm03 42\n' })
  })

  it('are selected by an expression, and each has a name for its order', () => {
    expect(fleet.remex.hosts('@lab,!vm03').ids).toEqual(['vm01'])
    expect(fleet.remex.hosts(['vm03', '@db']).ids).toEqual(['vm02', 'vm03'])
    expect(() => fleet.remex.hosts('@nowhere')).toThrow(RemexError)
    expect(() => fleet.remex.hosts('@lab,!@lab')).toThrow(/select no host/)
  })

  it('that may not be used are refused when named, and left out of a group with the reason', async () => {
    const remex = await fleet.open({ vms: { vm03: { enabled: false } } })
    expect(remex.hosts('@lab')).toMatchObject({ ids: ['vm01'], leftOut: [{ id: 'vm03', reason: expect.stringMatching(/disabled/) as string }] })
    expect(() => remex.hosts('vm01,vm03')).toThrow(expect.objectContaining({ code: 'HOST_NOT_ALLOWED' }))
  })

  it('each get the whole of an input that can be read only once', async () => {
    const stdin = Readable.from(['one ', 'input'])
    expect(byHost(await all(fleet.remex.hosts('all').run('cat; echo " $NAME"', { stdin })))).toEqual({ vm01: 'one input vm01\n', vm02: 'one input vm02\n', vm03: 'one input vm03\n' })
  })

  it('are told apart by live listeners, and begun only so many at a time', async () => {
    const heard: Record<string, string> = {}
    let running = 0
    let most = 0
    const onOutput = (vmId: string, stream: string, chunk: Buffer): void => void (heard[`${vmId} ${stream}`] = chunk.toString())
    const onStart = (): void => void (most = Math.max(most, ++running))
    for await (const result of fleet.remex.hosts('all').run('echo "$NAME"; echo "$NAME" >&2', { parallel: 1, onStart, onOutput })) {
      running--
      expect(result.success).toBe(true)
    }
    expect(heard).toEqual(Object.fromEntries(IDS.flatMap((id) => [[`${id} stdout`, `${id}\n`], [`${id} stderr`, `${id}\n`]])))
    expect(most).toBeLessThanOrEqual(2)
  })

  it('report in the order in which they finish', async () => {
    const order = (await all(fleet.remex.hosts('all').run('case $NAME in vm01) sleep 1;; vm02) sleep 0.5;; esac'))).map(({ vmId }) => vmId)
    expect(order).toEqual(['vm03', 'vm02', 'vm01'])
  })

  it('are not held up by one that fails, which has its own report', async () => {
    await using refused = await faults.refusesConnection()
    const remex = await fleet.open({ vms: { vm02: { ip: refused.address, ssh_port: refused.port } } })
    const results = await all(remex.hosts('all').run('echo up'))
    expect(results.map(({ vmId, ended, error }) => [vmId, ended, error?.code]).toSorted()).toEqual([['vm01', 'exited', undefined], ['vm02', 'not_started', 'UNREACHABLE'], ['vm03', 'exited', undefined]])
  })

  it('are all ended by one cancel, each with its verdict', async () => {
    const cancel = new AbortController()
    const heard = new Set<string>()
    const onOutput = (vmId: string): void => {
      heard.add(vmId)
      if (heard.size === IDS.length) cancel.abort()
    }
    const results = await all(fleet.remex.hosts('all').run('echo up; sleep 18; :', { signal: cancel.signal, onOutput }))
    expect(results.map(({ vmId, ended, killed }) => [vmId, ended, killed?.survivors.length]).toSorted()).toEqual(IDS.map((id) => [id, 'cancelled', 0]))
  })

  it('can be ended one by one, which the others do not notice', async () => {
    const cancel = new AbortController()
    const heard = new Set<string>()
    const onOutput = (vmId: string): void => {
      heard.add(vmId)
      if (heard.size === IDS.length) cancel.abort()
    }
    const signalOf = (vmId: string): AbortSignal | undefined => (vmId === 'vm02' ? cancel.signal : undefined)
    const signal = new AbortController().signal
    const results = await all(fleet.remex.hosts('all').run('echo up; [ "$NAME" != vm02 ] || sleep 18; sleep 0.5', { signal, signalOf, onOutput }))
    expect(results.map(({ vmId, ended, killed }) => [vmId, ended, killed?.survivors.length]).toSorted()).toEqual([['vm01', 'exited', undefined], ['vm02', 'cancelled', 0], ['vm03', 'exited', undefined]])
  })

  it('get a file and a script each, and give each its own copy', async () => {
    const local = join(fleet.folder, 'group.sh')
    await writeFile(local, '#!/bin/sh\necho "$NAME $1" | tee made\n')
    expect((await all(fleet.remex.hosts('all').put(local, 'sent.sh'))).every(({ verified, success }) => verified && success)).toBe(true)
    expect(byHost(await all(fleet.remex.hosts('all').script(local, { args: ['x'] })))).toEqual({ vm01: 'vm01 x\n', vm02: 'vm02 x\n', vm03: 'vm03 x\n' })
    await mkdir(join(fleet.folder, 'got'))
    const receipts = await all(fleet.remex.hosts('all').get('made', (id) => join(fleet.folder, 'got', id)))
    expect(receipts).toHaveLength(3)
    for (const id of IDS) expect(await readFile(join(fleet.folder, 'got', id), 'utf8')).toBe(`${id} x\n`)
  })

  it('of which one lacks the file say so for that one', async () => {
    await writeFile(join(servers[0]?.home ?? '', 'only-here'), 'x')
    const results = await all(fleet.remex.hosts('all').get('only-here', (id) => join(fleet.folder, `only-${id}`)))
    expect(results.map(({ vmId, error }) => [vmId, error?.code]).toSorted()).toEqual([['vm01', undefined], ['vm02', 'REMOTE_NOT_FOUND'], ['vm03', 'REMOTE_NOT_FOUND']])
  })
})

describe('lines of a command', () => {
  it('come one by one, and the last one without its newline too', async () => {
    const lines: string[] = []
    for await (const line of fleet.remex.host('vm01').$`printf 'a\n\nü\nend'`) lines.push(line)
    expect(lines).toEqual(['a', '', 'ü', 'end'])
  })

  it('that end by a deadline or a lost connection throw, after the lines that came', async () => {
    await using dropping = await startSshServer()
    const remex = await fleet.open({ settings: { default_timeout: '700ms' } })
    const lines: string[] = []
    const reading = (async () => { for await (const line of remex.host('vm01').$`echo one; sleep 17`) lines.push(line) })()
    await expect(reading).rejects.toMatchObject({ code: 'TIMED_OUT', result: { ended: 'timed_out', stdout: 'one\n' } })
    expect(lines).toEqual(['one'])
    await using other = await fleetOf({ vm01: dropping })
    const cut = (async () => { for await (const line of other.remex.host('vm01').$`echo one; sleep 16`) { lines.push(line); dropping.dropAll() } })()
    await expect(cut).rejects.toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true })
  })

  it('have each value as one word, whatever is in it', async () => {
    const words = ['a b', "it's", '$HOME', '`id`', '-n', '', '*', 'ü\n']
    expect((await fleet.remex.host('vm01').$`printf '%s|' ${words} ${'one'} ${2}`).stdout).toBe([...words, 'one', '2'].map((word) => `${word}|`).join(''))
  })
})
