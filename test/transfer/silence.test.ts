import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { readAll } from '../../src/transfer/pipeline.ts'
import { OpenFlag, SftpClient } from '../../src/transfer/sftp/client.ts'
import type { SftpOptions } from '../../src/transfer/sftp/handshake.ts'
import { SilenceWatch } from '../../src/transfer/sftp/silence.ts'
import type { Channel } from '../../src/transport/contract.ts'
import { scriptedChannel, serveFile } from './scripted-server.ts'
import type { ScriptedServer } from './scripted-server.ts'

const MINUTE_MS = 60_000

/** A server that keeps every request until it is told to answer. */
const keeping = (): { channel: Channel; kept: { request: Buffer; server: ScriptedServer }[]; answer: (count: number) => void } => {
  const kept: { request: Buffer; server: ScriptedServer }[] = []
  const file = { content: Buffer.alloc(3_000_000, 1) }
  const answer = (count: number): void => {
    for (const { request, server } of kept.splice(0, count)) serveFile(file, request, server)
  }
  return { channel: scriptedChannel((request, server) => void kept.push({ request, server })), kept, answer }
}

const open = (channel: Channel, options: Partial<SftpOptions> = {}): Promise<SftpClient> => SftpClient.open(channel, { vmId: 'vm01', ...options })

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }))
afterEach(() => void vi.useRealTimers())

describe('a server that answers nothing', () => {
  it('is given up after five minutes: all that is asked and all that waits rejects, and the channel is closed', async () => {
    const { channel } = keeping()
    const client = await open(channel)
    const asked = Promise.allSettled(Array.from({ length: 300 }, () => client.stat('x')))
    await turn()
    vi.advanceTimersByTime(5 * MINUTE_MS - 1)
    expect(client.isEnded).toBe(false)
    vi.advanceTimersByTime(MINUTE_MS)
    const outcomes = await asked
    const words = 'the SFTP server of vm01 has not answered for 300 s'
    const reason = { code: 'TRANSFER_FAILED', vmId: 'vm01', message: words, hint: expect.stringContaining('Look at the host'), mayHaveRun: false }
    for (const outcome of outcomes) expect(outcome).toMatchObject({ status: 'rejected', reason })
    await channel.closed
  })

  it('is given up sooner where the caller says so, and never with Infinity', async () => {
    const impatient = await open(keeping().channel, { silenceMs: 2000 })
    const patient = await open(keeping().channel, { silenceMs: Infinity })
    const asked = [impatient.stat('x'), patient.stat('x')]
    await turn()
    vi.advanceTimersByTime(60 * 24 * MINUTE_MS)
    await expect(asked[0]).rejects.toMatchObject({ message: 'the SFTP server of vm01 has not answered for 2 s' })
    expect(patient.isEnded).toBe(false)
    patient.end()
    await expect(asked[1]).rejects.toMatchObject({ code: 'CANCELLED' })
  })

  it('but sends bytes of an answer, one at a time, is silent all the same', async () => {
    const { channel, kept } = keeping()
    const client = await open(channel)
    const asked = client.stat('x')
    await turn()
    const dribble = Buffer.alloc(200, 1)
    dribble.writeUInt32BE(100_000)
    for (const byte of dribble) {
      kept[0]?.server.raw(Buffer.from([byte]))
      vi.advanceTimersByTime(MINUTE_MS / 2)
    }
    await expect(asked).rejects.toMatchObject({ code: 'TRANSFER_FAILED', message: expect.stringContaining('has not answered') })
  })

  it('is given up too when nobody waits any more for what it was asked', async () => {
    const { channel } = keeping()
    const client = await open(channel)
    const controller = new AbortController()
    const asked = client.under(controller.signal).stat('x')
    controller.abort()
    await expect(asked).rejects.toMatchObject({ code: 'CANCELLED' })
    vi.advanceTimersByTime(6 * MINUTE_MS)
    expect(client.isEnded).toBe(true)
  })
})

describe('a server is not taken for silent', () => {
  it('when it answers one request in four minutes', async () => {
    const { channel, answer } = keeping()
    const client = await open(channel)
    const asked = Promise.all(Array.from({ length: 20 }, () => client.remove('x')))
    await turn()
    for (let left = 20; left > 0; left -= 1) {
      vi.advanceTimersByTime(4 * MINUTE_MS)
      answer(1)
    }
    await asked
    client.end()
  })

  it('when nothing is asked of it', async () => {
    const { channel, kept, answer } = keeping()
    const client = await open(channel)
    vi.advanceTimersByTime(60 * MINUTE_MS)
    const asked = client.remove('x')
    await turn()
    // What it is asked now it has all the time for.
    vi.advanceTimersByTime(5 * MINUTE_MS - 1)
    expect(kept).toHaveLength(1)
    answer(1)
    await asked
    client.end()
  })

  it('when it has answered, and whoever reads takes his time with what came', async () => {
    const { channel, answer } = keeping()
    const client = await open(channel)
    const opened = client.open('file', OpenFlag.READ)
    await turn()
    answer(1)
    const file = await opened
    let byteCount = 0
    const chunks = readAll(client, file, 3_000_000)
    for (;;) {
      const next = chunks.next()
      await turn()
      answer(Infinity)
      const { value, done } = await next
      if (done === true) break
      byteCount += value.length
      // What was asked for meanwhile is answered; then nothing comes for an hour, because nothing more is asked for.
      await turn()
      answer(Infinity)
      vi.advanceTimersByTime(60 * MINUTE_MS)
    }
    expect(byteCount).toBe(3_000_000)
    client.end()
  })
})

describe('SilenceWatch', () => {
  it.each([
    ['right after a tick', 0],
    ['between two ticks', 50],
    ['right before a tick', 99],
  ])('tells of silence not before the time and at most a tenth late, when it began %s', (_what, headStartMs) => {
    let isSilent = false
    const watch = new SilenceWatch({ silenceMs: 1000, isOwed: () => true, onSilence: () => (isSilent = true) })
    vi.advanceTimersByTime(headStartMs)
    watch.heard()
    vi.advanceTimersByTime(999)
    expect(isSilent).toBe(false)
    vi.advanceTimersByTime(101)
    expect(isSilent).toBe(true)
  })

  it('keeps no process alive, and leaves no timer behind', () => {
    vi.useRealTimers()
    const timers = (): number => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length
    const before = timers()
    const watch = new SilenceWatch({ silenceMs: 1000, isOwed: () => true, onSilence: () => undefined })
    expect(timers()).toBe(before)
    watch.stop()
  })
})
