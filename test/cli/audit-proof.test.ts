import { once } from 'node:events'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { buildCommandLine, Workshop } from './workshop.ts'

let shop: Workshop

beforeAll(buildCommandLine, 60_000)
beforeEach(async () => {
  shop = await Workshop.with(['vm01'])
  await shop.call(['run', 'vm01', '--', 'true'])
})
afterEach(() => shop[Symbol.asyncDispose]())

describe('the end of the log', () => {
  it('is printed as one line, and verify compares with it from a file and from standard input', async () => {
    const anchor = await shop.call(['audit', 'anchor'])
    expect(anchor.rows).toMatchObject([{ seq: 3, hash: expect.stringMatching(/^[0-9a-f]{64}$/) }])
    await writeFile(shop.path('anchors'), anchor.stdout)
    await shop.call(['run', 'vm01', '--', 'true'])
    for (const [words, input] of [[['anchors'], ''], [['-'], anchor.stdout]] as const) {
      const { status, stdout } = await shop.call(['audit', 'verify', '--anchor', ...words], { input })
      expect(stdout).toContain('agrees with 1 anchor\n')
      expect(status).toBe(0)
    }
  })

  it('that was cut off with its head is missed by an anchor alone', async () => {
    const [log, head] = await Promise.all(['audit.jsonl', 'head.json'].map((name) => readFile(shop.path('audit', name))))
    const { stdout: input } = await shop.call(['audit', 'anchor'])
    await writeFile(shop.path('audit', 'audit.jsonl'), log ?? '')
    await writeFile(shop.path('audit', 'head.json'), head ?? '')
    expect((await shop.call(['audit', 'verify'])).status).toBe(0)
    const { status, rows } = await shop.call(['audit', 'verify', '--anchor', '-', '--json'], { input })
    expect({ status, rows }).toMatchObject({ status: 1, rows: [{ ok: false, problem: 'cut_off', seq: 3 }] })
  })

  it('is waited for no longer than until the first Ctrl-C', async () => {
    const child = shop.start(['audit', 'verify', '--anchor', '-'])
    // More than a pipe holds: it was written when it is being read.
    await new Promise((resolve) => child.stdin?.write('\n'.repeat(2 ** 20), resolve))
    child.kill('SIGINT')
    expect((await once(child, 'close'))[0]).toBe(130)
  })

  it('is not compared with what is no anchor', async () => {
    const { status, stderr } = await shop.call(['audit', 'verify', '--anchor', '-'], { input: 'hello\n' })
    expect(status).toBe(125)
    expect(stderr).toContain('standard input, line 1 is not an anchor')
  })
})

describe('the key of the log', () => {
  it('is printed, and verifies the log elsewhere without anything else of it', async () => {
    const { stdout: pem } = await shop.call(['audit', 'public-key'])
    await writeFile(shop.path('remex.pub'), pem)
    await Promise.all(['signing.key', 'signing.pub', 'audit.reserve'].map((name) => rm(shop.path('audit', name))))
    await rm(shop.path('config.yml'))
    const { status, rows } = await shop.call(['audit', 'verify', 'audit', '--public-key', 'remex.pub', '--json'])
    expect({ status, rows }).toMatchObject({ status: 0, rows: [{ ok: true, count: 2, key: expect.stringMatching(/^SHA256:/), signed_seq: 2 }] })
  })

  it.each([
    ['--public-key', '/dev/zero', 'larger than 64 KiB'],
    ['--public-key', '/tmp', 'illegal operation on a directory'],
    ['--anchor', '/dev/zero', 'more than 64 MiB'],
    ['--anchor', '/tmp', 'illegal operation on a directory'],
  ])('and anchors are read out of what has an end: not %s %s', async (option, path, message) => {
    const { status, rows } = await shop.call(['audit', 'verify', option, path, '--json'])
    expect({ status, error: rows[0]?.['error'] }).toMatchObject({ status: 125, error: { code: 'USAGE', message: expect.stringContaining(message) as string } })
  })

  it('does not verify a log that is not there', async () => {
    await mkdir(shop.path('empty'))
    for (const directory of ['elsewhere', 'empty']) {
      const { status, stderr } = await shop.call(['audit', 'verify', directory])
      expect(status).toBe(125)
      expect(stderr).toContain(directory)
    }
  })

  it('is made by the first record: before it there is none to print', async () => {
    await rm(shop.path('audit'), { recursive: true })
    const { status, stderr } = await shop.call(['audit', 'public-key'])
    expect(status).toBe(125)
    expect(stderr).toContain('the audit log has no key yet')
  })

  it('once lost lets nothing run, and the error says what to do', async () => {
    await rm(shop.path('audit', 'signing.key'))
    const { status, stderr } = await shop.call(['run', 'vm01', '--', 'true'])
    expect(status).toBe(125)
    expect(stderr).toMatch(/AUDIT_UNAVAILABLE|signing\.key, cannot be used: it is gone/)
    expect(stderr).toContain('Put it back from a copy')
  })
})

describe('the settings of the log', () => {
  it('turn it to a new file', async () => {
    const config = JSON.parse(await readFile(shop.path('config.yml'), 'utf8')) as { remote_execution: object }
    await writeFile(shop.path('config.yml'), JSON.stringify({ ...config, remote_execution: { ...config.remote_execution, audit_rotate_bytes: 4096 } }))
    for (let run = 0; run < 4; run++) await shop.call(['run', 'vm01', '--', 'true'])
    expect((await readdir(shop.path('audit'))).filter((name) => name.startsWith('audit-'))).not.toEqual([])
    const { stdout, status } = await shop.call(['audit', 'verify'])
    expect(status, stdout).toBe(0)
  })
})
