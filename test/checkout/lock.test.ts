import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const LOCK_MODULE = join(dirname(dirname(import.meta.dirname)), 'scripts/lock.mjs')

/** Adds one to a number in a file, slowly enough that two at once would lose one; three times, each time under the lock. */
const COUNT = `
import { readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { withLock } from ${JSON.stringify(LOCK_MODULE)}
const [lock, counter] = process.argv.slice(1)
for (let i = 0; i < 3; i++) await withLock(lock, async () => {
  const count = Number(readFileSync(counter, 'utf8'))
  await delay(5)
  writeFileSync(counter, String(count + 1))
}, { onWait: (holder) => console.log('waits for', holder) })
`

describe('the lock of the setup', () => {
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'remex-lock-'))
    writeFileSync(join(directory, 'counter'), '0')
  })
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true })
  })

  async function count(): Promise<number | null> {
    const words = ['--input-type=module', '--eval', COUNT, join(directory, 'lock'), join(directory, 'counter')]
    const [status] = (await once(spawn(process.execPath, words, { stdio: 'ignore' }), 'close')) as [number | null]
    return status
  }

  it.each([
    ['nobody held it before', undefined],
    ['its last holder died', '2147483646.1'],
    ['the pid of its dead holder is another process now', `${process.pid}.1`],
  ])('lets one process in at a time, where %s', async (_what, holder) => {
    if (holder) symlinkSync(holder, join(directory, 'lock'))
    expect(await Promise.all([count(), count(), count(), count()])).toEqual([0, 0, 0, 0])
    expect(readFileSync(join(directory, 'counter'), 'utf8')).toBe('12')
    expect(readdirSync(directory)).toEqual(['counter'])
  })

  it('can be taken where a process died while it removed a dead holder’s lock', async () => {
    symlinkSync('2147483646.1', join(directory, 'lock'))
    symlinkSync('2147483645.1', join(directory, 'lock.break'))
    expect(await count()).toBe(0)
    expect(readdirSync(directory)).toEqual(['counter'])
  })
})
