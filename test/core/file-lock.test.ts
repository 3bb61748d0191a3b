import { mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { LockTimeoutError, withFileLock } from '../../src/core/file-lock.ts'
import { program, type Program } from '../audit/child.ts'

const WORKER = `
import { readFile, writeFile } from 'node:fs/promises'
import { withFileLock } from './core/file-lock.ts'
const [verb, lock, counter, times] = process.argv.slice(2)
if (verb === 'hold') {
  await withFileLock(lock, () => new Promise((resolve) => {
    process.stdin.on('data', resolve).on('end', resolve)
    console.log('held')
  }))
  process.exit(0)
}
for (let i = 0; i < Number(times); i++) {
  await withFileLock(lock, async () => {
    await writeFile(counter, String(Number(await readFile(counter, 'utf8')) + 1))
  }, { timeoutMs: 60000 })
}
`

let worker: Program
let directory: string
let lock: string

beforeAll(async () => {
  worker = await program(WORKER)
})
afterAll(() => worker.remove())
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'remex-lock-'))
  lock = join(directory, 'a.lock')
})
afterEach(() => rm(directory, { recursive: true }))

/** The link's target while this process holds the lock, by the names of its parts. */
async function ownTarget(): Promise<Record<'mark' | 'host' | 'boot' | 'namespace' | 'start' | 'pid' | 'nonce', string>> {
  const parts = (await withFileLock(lock, () => readlink(lock))).split(':')
  const [mark = '', host = '', boot = '', namespace = '', start = '', pid = '', nonce = ''] = parts
  return { mark, host, boot, namespace, start, pid, nonce }
}

/** Runs and kills a process, and gives the pid it had. */
async function deadPid(): Promise<string> {
  const child = worker.start('hold', join(directory, 'other.lock'))
  await child.line()
  child.process.kill('SIGKILL')
  await child.ended
  return String(child.process.pid)
}

describe('withFileLock within one process', () => {
  it('returns what the work returns and leaves nothing behind', async () => {
    expect(await withFileLock(lock, () => Promise.resolve(42))).toBe(42)
    expect(await readdir(directory)).toEqual([])
  })

  it('frees the lock when the work throws, and passes the error on', async () => {
    await expect(withFileLock(lock, () => Promise.reject(new Error('broken')))).rejects.toThrow('broken')
    expect(await readdir(directory)).toEqual([])
    expect(await withFileLock(lock, () => Promise.resolve('again'))).toBe('again')
  })

  it('lets callers in one after the other, in the order in which they came', async () => {
    const seen: string[] = []
    const jobs = [1, 2, 3, 4].map((job) =>
      withFileLock(lock, async () => {
        seen.push(`${job} in`)
        await readFile('/dev/null')
        seen.push(`${job} out`)
      }),
    )
    await Promise.all(jobs)
    expect(seen).toEqual([1, 2, 3, 4].flatMap((job) => [`${job} in`, `${job} out`]))
  })

  it('gives up a place in the line at its timeout without letting the next one in early', async () => {
    const order: string[] = []
    const gate = { open: () => {} }
    const opened = new Promise<void>((resolve) => {
      gate.open = resolve
    })
    const first = withFileLock(lock, async () => {
      await opened
      order.push('first')
    })
    const second = withFileLock(lock, () => Promise.resolve(), { timeoutMs: 5 })
    const third = withFileLock(lock, () => Promise.resolve(order.push('third')))
    await expect(second).rejects.toMatchObject({ holderPid: process.pid })
    gate.open()
    await Promise.all([first, third])
    expect(order).toEqual(['first', 'third'])
  })

  it('rejects with the system error where the directory is not there', async () => {
    await expect(withFileLock(join(directory, 'no/such.lock'), () => Promise.resolve())).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('never removes a lock that somebody else took after ours was removed by hand', async () => {
    await withFileLock(lock, async () => {
      await rm(lock)
      await symlink('somebody else', lock)
    })
    expect(await readlink(lock)).toBe('somebody else')
  })
})

describe('withFileLock among processes', () => {
  it('loses no update when four processes each increment a counter fifty times', async () => {
    const counter = join(directory, 'counter')
    await writeFile(counter, '0')
    const children = [1, 2, 3, 4].map(() => worker.start('count', lock, counter, '50'))
    expect(await Promise.all(children.map((child) => child.ended))).toEqual([0, 0, 0, 0])
    expect(await readFile(counter, 'utf8')).toBe('200')
    expect(await readdir(directory)).toEqual(['counter'])
  })

  it('loses no update when each of the waiters finds the lock of a dead holder, and a dead breaker too', async () => {
    const counter = join(directory, 'counter')
    await writeFile(counter, '0')
    const { mark, host, boot, namespace, pid } = await ownTarget()
    const stale = [mark, host, boot, namespace, '1', pid, 'stale'].join(':')
    await Promise.all([lock, `${lock}.break`, `${lock}.break.break`].map((path) => symlink(stale, path)))
    const children = [1, 2, 3, 4].map(() => worker.start('count', lock, counter, '10'))
    expect(await Promise.all(children.map((child) => child.ended))).toEqual([0, 0, 0, 0])
    expect(await readFile(counter, 'utf8')).toBe('40')
    expect(await readdir(directory)).toEqual(['counter'])
  })

  it('is free again when its holder was killed by SIGKILL, even before anybody has reaped it', async () => {
    const child = worker.start('hold', lock)
    expect(await child.line()).toBe('held')
    child.process.kill('SIGKILL')
    expect(await withFileLock(lock, () => Promise.resolve('mine'))).toBe('mine')
  })

  it('waits for a holder that lives, and names its pid when the time is up', async () => {
    const child = worker.start('hold', lock)
    await child.line()
    const failed = await withFileLock(lock, () => Promise.resolve(), { timeoutMs: 50 }).catch((error: unknown) => error)
    expect(failed).toBeInstanceOf(LockTimeoutError)
    expect(failed).toMatchObject({ holderPid: child.process.pid, path: lock })
    expect(String(failed)).toContain(`process ${child.process.pid}`)
    const next = withFileLock(lock, () => Promise.resolve('mine'))
    child.process.stdin?.end()
    expect(await next).toBe('mine')
  })
})

describe('a lock that was left behind', () => {
  const PROVABLY_GONE: [string, Partial<Record<'host' | 'boot' | 'start', string>>][] = [
    ['the machine has another name by now, and its pid belongs to another process', { host: 'before', start: '1' }],
    ['its pid belongs to a process that started at another time', { start: '1' }],
    ['the machine was started anew since', { boot: '00000000-0000-0000-0000-000000000000' }],
  ]
  it.each(PROVABLY_GONE)('is taken over when %s', async (_, other) => {
    const { mark, host, boot, namespace, start, pid, nonce } = { ...(await ownTarget()), ...other }
    await symlink([mark, host, boot, namespace, start, pid, nonce].join(':'), lock)
    expect(await withFileLock(lock, () => Promise.resolve('mine'), { timeoutMs: 1000 })).toBe('mine')
    expect(await readdir(directory)).toEqual([])
  })

  it('is taken over when no process has its pid', async () => {
    const { mark, host, boot, namespace, start, nonce } = await ownTarget()
    await symlink([mark, host, boot, namespace, start, await deadPid(), nonce].join(':'), lock)
    expect(await withFileLock(lock, () => Promise.resolve('mine'), { timeoutMs: 1000 })).toBe('mine')
  })

  const NOT_PROVABLE: [string, (own: Awaited<ReturnType<typeof ownTarget>>, dead: string) => string[]][] = [
    ['its holder was on another machine', (own, dead) => [own.mark, 'elsewhere', 'other-boot', own.namespace, own.start, dead, own.nonce]],
    ['its holder was in another pid namespace', (own, dead) => [own.mark, own.host, own.boot, '1', own.start, dead, own.nonce]],
    ['its holder is this very process', (own) => [own.mark, own.host, own.boot, own.namespace, own.start, own.pid, own.nonce]],
    ['its start time is not known', (own) => [own.mark, own.host, own.boot, own.namespace, '-', own.pid, own.nonce]],
    ['it is a link that Remex did not make', () => ['/etc/passwd']],
    ['it has a pid that is not a number', (own) => [own.mark, own.host, own.boot, own.namespace, own.start, '-1', own.nonce]],
    ['it has a pid that no system has', (own) => [own.mark, own.host, own.boot, own.namespace, own.start, '9999999999', own.nonce]],
  ]
  it.each(NOT_PROVABLE)('is waited for and left alone when %s', async (_, target) => {
    const text = target(await ownTarget(), await deadPid()).join(':')
    await symlink(text, lock)
    await expect(withFileLock(lock, () => Promise.resolve(), { timeoutMs: 20 })).rejects.toBeInstanceOf(LockTimeoutError)
    expect(await readlink(lock)).toBe(text)
  })

  it('is waited for and left alone when it is a regular file', async () => {
    await writeFile(lock, 'precious')
    await expect(withFileLock(lock, () => Promise.resolve(), { timeoutMs: 20 })).rejects.toThrow('not a lock that Remex made')
    expect(await readFile(lock, 'utf8')).toBe('precious')
  })
})
