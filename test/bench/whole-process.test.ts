import { describe, expect, it } from 'vitest'
import { wholeProcess } from '../../bench/lib/whole-process.ts'

const node = (code: string): [string, ...string[]] => [process.execPath, '--eval', code]

describe('a whole process', () => {
  it('is timed from its start to its end', async () => {
    const startMs = performance.now()
    const { wallMs, peakRssBytes } = await wholeProcess({ argv: node('') })
    expect(wallMs).toBeGreaterThan(1)
    expect(wallMs).toBeLessThanOrEqual(performance.now() - startMs)
    expect(peakRssBytes).toBeUndefined()
  })

  it.skipIf(process.platform !== 'linux')('is watched for the most memory that it had', async () => {
    const megabyte = 1024 * 1024
    const code = 'const kept = Buffer.alloc(200 * 1024 * 1024, 1); const end = performance.now() + 300; while (performance.now() < end); console.log(kept.length)'
    const { peakRssBytes } = await wholeProcess({ argv: node(code), watchMemory: true })
    expect(peakRssBytes).toBeGreaterThan(200 * megabyte)
    expect(peakRssBytes).toBeLessThan(400 * megabyte)
  })

  it('may write more than a pipe holds', async () => {
    await expect(wholeProcess({ argv: node('process.stdout.write("x".repeat(10_000_000))') })).resolves.toBeDefined()
  })

  it('that fails is an error with what it said', async () => {
    await expect(wholeProcess({ argv: node('console.error("no luck"); process.exitCode = 3') })).rejects.toThrow(/ended with 3: no luck/)
  })

  it('that is killed, or cannot start, is an error', async () => {
    await expect(wholeProcess({ argv: node('process.kill(process.pid, "SIGKILL")') })).rejects.toThrow('SIGKILL')
    await expect(wholeProcess({ argv: ['/nowhere/at-all'] })).rejects.toThrow('ENOENT')
  })
})
