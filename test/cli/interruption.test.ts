import { spawn, type ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { openSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../../testkit/until.ts'
import { buildCommandLine, ended, Workshop } from './workshop.ts'

let shop: Workshop

beforeAll(async () => {
  buildCommandLine()
  shop = await Workshop.with(['vm01', 'vm02'])
}, 60_000)

afterAll(async () => {
  await shop[Symbol.asyncDispose]()
})

/** Collects what the process prints on stdout, and waits until it has printed `text`. */
async function printed(child: ChildProcess, text: string): Promise<string> {
  let seen = ''
  child.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString()))
  await until(() => seen.includes(text), { what: `the output ${JSON.stringify(text)}` })
  return seen
}

/** The process id that the command wrote to a file of the workshop. */
async function pidIn(name: string): Promise<number> {
  return until(async () => Number(await readFile(shop.path(name), 'utf8')), { what: `a process id in ${name}` })
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

describe('an interrupted run', () => {
  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('ends the remote processes on %s, says so, and gives 130', async (signal) => {
    const child = shop.start(['run', 'vm01', '-c', `echo $$ >${shop.path(signal)}; echo begun; sleep 60 & sleep 60`])
    const rest = ended(child)
    await printed(child, 'begun')
    const pid = await pidIn(signal)
    child.kill(signal)
    const { status, stderr } = await rest
    expect(status).toBe(130)
    expect(stderr).toContain('interrupted')
    expect(stderr).toContain('ended on the host, none is left')
    expect(runs(pid)).toBe(false)
  })

  it('gives each of several hosts its object with --json, those that had not begun too', async () => {
    const child = shop.start(['run', 'vm01,vm02', '--parallel', '1', '--json', '-c', `echo $$ >>${shop.path('json')}; sleep 60`])
    const rest = ended(child)
    await pidIn('json')
    child.kill('SIGINT')
    const { status, rows } = await rest
    expect(status).toBe(130)
    expect(rows.map((row) => row['vm_id']).sort()).toEqual(['vm01', 'vm02'])
    expect(rows.map((row) => row['ended']).sort()).toEqual(['cancelled', 'not_started'])
  })

  it('is left at once at the second signal, saying where something may still run', async () => {
    const child = shop.start(['run', 'vm01', '-c', `trap "" TERM; echo $$ >${shop.path('second')}; echo begun; sleep 60; sleep 60`])
    const rest = ended(child)
    await printed(child, 'begun')
    const pid = await pidIn('second')
    const words = new Promise<void>((resolve) => child.stderr?.once('data', () => resolve()))
    child.kill('SIGINT')
    await words
    child.kill('SIGINT')
    const { status, stderr } = await rest
    expect(status).toBe(130)
    expect(stderr).toContain('processes may still run on vm01')
    // Whoever leaves does not look back; the test does.
    if (runs(pid)) process.kill(pid, 'SIGKILL')
  })
})

describe('a reader that goes away', () => {
  it('ends the remote process without a word', async () => {
    const child = shop.start(['run', 'vm01', '-c', `echo $$ >${shop.path('pipe')}; exec yes`])
    const { stdout, stderr } = child
    if (!stdout || !stderr) throw new Error('no output')
    let complaint = ''
    stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
    const status = new Promise((resolve) => child.once('exit', resolve))
    await new Promise((resolve) => stdout.once('data', resolve))
    stdout.destroy()
    // What a shell says of a program that SIGPIPE ended.
    expect(await status).toBe(141)
    expect(complaint).toBe('')
    const pid = await pidIn('pipe')
    expect(runs(pid)).toBe(false)
  })

  it('is an error where the output goes to a full disk', async () => {
    const env = { ...process.env, REMEX_CONFIG: shop.path('config.yml'), HOME: shop.folder }
    const cli = new URL('../../dist/cli.cjs', import.meta.url).pathname
    const child = spawn(process.execPath, [cli, 'run', 'vm01', '--', 'echo', 'x'], { env, stdio: ['ignore', openSync('/dev/full', 'w'), 'pipe'] })
    const { status, stderr } = await ended(child)
    expect(status).toBe(125)
    expect(stderr).toContain('the output cannot be written: ENOSPC')
  })
})
