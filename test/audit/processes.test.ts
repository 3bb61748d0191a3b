import { execFileSync, spawnSync } from 'node:child_process'
import { mkdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { verifyAudit } from '../../src/audit/verify/verify.ts'
import { program, type Program } from './child.ts'
import { BEGIN, FINISH, logDirectory, type LogDirectory } from './log-directory.ts'

const WORKER = `
import { openAudit } from './audit/log.ts'
import { systemClock } from './core/clock.ts'
const [verb, directory, count, begin, finish] = process.argv.slice(2)
const log = await openAudit({ directory, clock: systemClock })
const operation = async () => {
  const entry = await log.begin(JSON.parse(begin))
  process.stdout.write(entry.opId + '\\n')
  await log.finish(entry, JSON.parse(finish))
}
const several = async (times) => {
  for (let i = 0; i < times; i++) await operation()
}
if (verb === 'each') await several(Number(count))
if (verb === 'together') await Promise.all(Array.from({ length: 20 }, () => several(Number(count) / 20)))
if (verb === 'until-full') {
  try {
    for (;;) await operation()
  } catch (error) {
    process.stdout.write(JSON.stringify(error) + '\\n')
  }
}
if (verb === 'end-when-full') {
  const running = []
  for (let i = 0; i < Number(count); i++) running.push(await log.begin(JSON.parse(begin)))
  process.stdout.write('running\\n')
  await new Promise((resolve) => process.stdin.once('data', resolve))
  const told = await Promise.allSettled([...running.map((entry) => log.finish(entry, JSON.parse(finish))), log.begin(JSON.parse(begin))])
  process.stdout.write(JSON.stringify({ ended: told.slice(0, -1).filter(({ status }) => status === 'fulfilled').length, begun: told.at(-1).reason?.code ?? 'yes' }) + '\\n')
}
await log.close()
`

let worker: Program
let place: LogDirectory

beforeAll(async () => {
  worker = await program(WORKER)
})
afterAll(() => worker.remove())
beforeEach(async () => {
  place = await logDirectory()
})
afterEach(() => place.remove())

const args = (verb: string, count: number): string[] => [verb, place.directory, String(count), JSON.stringify(BEGIN), JSON.stringify(FINISH)]

/** `op_id`s of begin and of finish records. */
async function operations(): Promise<{ begun: Set<unknown>; finished: unknown[] }> {
  const of = (event: string, all: Record<string, unknown>[]): unknown[] => all.filter((record) => record.event === event).map((record) => record.op_id)
  const records = await place.records()
  return { begun: new Set(of('begin', records)), finished: of('finish', records) }
}

describe('several processes at once', () => {
  it('keep one whole chain when four of them write two hundred records each', async () => {
    const children = ['each', 'together', 'each', 'together'].map((verb) => worker.start(...args(verb, 100)))
    expect(await Promise.all(children.map((child) => child.ended))).toEqual([0, 0, 0, 0])
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: 800 })
    const { begun, finished } = await operations()
    expect([begun.size, new Set(finished).size]).toEqual([400, 400])
  })
})

describe('a writer that is killed', () => {
  it('leaves, at twenty random moments, a log that verifies, with every begin that was acknowledged and no finish without its begin', async () => {
    const acknowledged: string[] = []
    for (let kill = 0; kill < 20; kill++) {
      const child = worker.start(...args(kill % 2 ? 'each' : 'together', 100_000))
      const enough = Math.floor(Math.random() * 30)
      for (let told = 0; told <= enough; told++) acknowledged.push((await child.line()) ?? '')
      child.process.kill('SIGKILL')
      acknowledged.push(...(await child.rest()).filter((line) => line.length === acknowledged[0]?.length))
      expect(await verifyAudit(place.directory)).toMatchObject({ ok: true })
    }
    await place.fill(1)
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, tornBytes: 0 })
    const { begun, finished } = await operations()
    expect(acknowledged.filter((opId) => !begun.has(opId))).toEqual([])
    expect(finished.filter((opId) => !begun.has(opId))).toEqual([])
  }, 90_000)
})

describe('a disk that is full', () => {
  const LIMIT_BYTES = 20_000

  async function expectRefusedAndWhole(told: string): Promise<void> {
    const error: unknown = JSON.parse(told.trim().split('\n').at(-1) ?? '')
    expect(error).toMatchObject({ code: 'AUDIT_UNAVAILABLE', message: expect.stringContaining(place.log) })
    expect(await readFile(place.log, 'latin1')).toMatch(/\}\n$/)
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, tornBytes: 0 })
    const before = (await place.records()).length
    await place.fill(1)
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: before + 2 })
  }

  it('refuses the next record and leaves the chain whole when a write stops in its middle at a size limit', async () => {
    const limited = spawnSync('sh', ['-c', `ulimit -f ${LIMIT_BYTES / 500}; exec "$@"`, 'sh', process.execPath, worker.path, ...args('until-full', 0)])
    const told = limited.stdout.toString()
    expect((await stat(place.log)).size).toBeLessThan(64_000)
    expect(told).toMatch(/too large/i)
    await expectRefusedAndWhole(told)
  })

  it('refuses the next record and leaves the chain whole when the file system is full', async (context) => {
    await mkdir(place.directory, { recursive: true })
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=640k,mode=700', 'tmpfs', place.directory]).status !== 0) return context.skip('cannot mount a file system')
    try {
      const { stdout } = spawnSync(process.execPath, [worker.path, ...args('until-full', 0)])
      expect(stdout.toString()).toMatch(/no space left/)
      expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, tornBytes: 0 })
      execFileSync('mount', ['-o', 'remount,size=2m', place.directory])
      await expectRefusedAndWhole(stdout.toString())
    } finally {
      execFileSync('umount', [place.directory])
    }
    return undefined
  })

  it('records the end of all that runs, and begins nothing, when the file system is full', async (context) => {
    await mkdir(place.directory, { recursive: true })
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=640k,mode=700', 'tmpfs', place.directory]).status !== 0) return context.skip('cannot mount a file system')
    try {
      const child = worker.start(...args('end-when-full', 20))
      expect(await child.line()).toBe('running')
      const filled = spawnSync('dd', ['if=/dev/zero', `of=${join(place.directory, 'other')}`, 'bs=4k'])
      expect(filled.stderr.toString()).toMatch(/No space left/)
      child.process.stdin?.end('now\n')
      expect(JSON.parse((await child.line()) ?? '')).toEqual({ ended: 20, begun: 'AUDIT_UNAVAILABLE' })
      expect(await child.ended).toBe(0)
      expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: 40, repaired: [] })
    } finally {
      execFileSync('umount', [place.directory])
    }
    return undefined
  })
})
