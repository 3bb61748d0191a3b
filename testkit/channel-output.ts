import type { Readable } from 'node:stream'
import type { ServerChannel } from 'ssh2'

/**
 * Sends what `stdout` and `stderr` give to the two streams of `channel`, with backpressure, each in order.
 * Settles when both have ended and everything is sent; never when the channel breaks meanwhile. Never rejects.
 */
export async function sendOutput(channel: ServerChannel, stdout: Readable, stderr: Readable): Promise<void> {
  const write = serialWriter(channel)
  const pump = async (source: Readable, extended: boolean): Promise<void> => {
    try {
      for await (const chunk of source) await write(chunk as Buffer, extended)
    } catch {
      // The pipe was destroyed because the channel is gone.
    }
  }
  await Promise.all([pump(stdout, false), pump(stderr, true)])
}

/**
 * One write at a time for both streams. ssh2 1.17 keeps a chunk that had to wait for the window and sends it again when
 * the other stream waits next (server.js, CHANNEL_WINDOW_ADJUST), so what it keeps is cleared after each write.
 */
function serialWriter(channel: ServerChannel): (chunk: Buffer, extended: boolean) => Promise<void> {
  let last: Promise<void> = Promise.resolve()
  const send = (chunk: Buffer, extended: boolean): Promise<void> => new Promise((resolve) => {
    const target = extended ? channel.stderr : channel
    target.write(chunk, () => {
      for (const name of ['_chunk', '_chunkcb', '_chunkErr', '_chunkcbErr']) Reflect.set(channel, name, undefined)
      resolve()
    })
  })
  return (chunk, extended) => {
    last = last.then(() => send(chunk, extended))
    return last
  }
}
