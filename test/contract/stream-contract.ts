import { createHash, randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { buffer, text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import type { Connection } from '../../src/transport/contract.ts'
import { until } from '../../testkit/until.ts'
import { collect, type ContractCase } from './contract-server.ts'

const MIB = 1024 * 1024

/** The three streams of a channel. */
export function streamContract(subject: ContractCase): void {
  describe('its streams', () => {
    content(subject)
    backpressure(subject)
    leftAlone(subject)
  })
}

function content({ connect }: ContractCase): void {
  test('carry 10 MB in, out and to stderr at once, byte for byte', async (context) => {
    const data = randomBytes(10_000_000)
    const channel = await (await connect(context)).exec('f=$(mktemp) && tee "$f" && cat "$f" >&2; rm "$f"')
    const sent = pipeline(Readable.from(pieces(data)), channel.stdin)
    const [stdout, stderr] = await Promise.all([buffer(channel.stdout), buffer(channel.stderr), sent])
    expect([stdout, stderr].map(sha256)).toEqual([sha256(data), sha256(data)])
    expect(await channel.exit).toEqual({ kind: 'exited', exitCode: 0 })
  })

  test('are kept apart and end by themselves', async (context) => {
    const { stdout, stderr } = await collect(await (await connect(context)).exec('echo out; echo err >&2'))
    expect([String(stdout), String(stderr)]).toEqual(['out\n', 'err\n'])
  })

  test('pass the end of standard input on: cat ends, and only then', async (context) => {
    const channel = await (await connect(context)).exec('cat')
    channel.stdin.write('one')
    const [first] = await channel.stdout.take(1).toArray() as Buffer[]
    expect(String(first)).toBe('one')
    channel.stdin.end()
    expect(await channel.exit).toEqual({ kind: 'exited', exitCode: 0 })
  })
}

function backpressure({ connect }: ContractCase): void {
  test('hold the server back while nobody reads, without holding up other channels, and lose nothing', async (context) => {
    const connection = await connect(context)
    const channel = await connection.exec(`head -c ${64 * MIB} /dev/zero`)
    await until(() => channel.stdout.readableLength > 256 * 1024, { what: 'unread output' })
    await roundTrips(connection, 20)
    expect(channel.stdout.readableLength).toBeLessThan(5 * MIB)
    expect(await sizeOf(channel.stdout)).toBe(64 * MIB)
  })

  test('hold the server back for unread stdout while stderr is read', async (context) => {
    const connection = await connect(context)
    const channel = await connection.exec(`i=0; while [ $i -lt 100 ]; do head -c ${MIB} /dev/zero; echo $i >&2; i=$((i+1)); done`)
    const numbers = text(channel.stderr)
    await until(() => channel.stdout.readableLength > 256 * 1024, { what: 'unread output' })
    await roundTrips(connection, 20)
    expect(channel.stdout.readableLength).toBeLessThan(5 * MIB)
    expect(await sizeOf(channel.stdout)).toBe(100 * MIB)
    expect((await numbers).trim().split('\n')).toHaveLength(100)
  })

  test('hold the writer back while the process does not read', async (context) => {
    const channel = await (await connect(context)).exec('read go; sleep 60')
    const chunk = Buffer.alloc(MIB)
    let writtenMib = 0
    const write = (): void => {
      channel.stdin.write(chunk, () => {
        writtenMib++
        if (writtenMib < 100) write()
      })
    }
    write()
    await until(() => channel.stdin.writableNeedDrain && writtenMib >= 1, { what: 'the writer to be held back' })
    await roundTrips(await connect(context), 20)
    expect(writtenMib).toBeLessThan(20)
    channel.close()
  })
}

function leftAlone({ connect }: ContractCase): void {
  test('discard in silence what is written to a process that is gone', async (context) => {
    const channel = await (await connect(context)).exec('exit 3')
    await pipeline(Readable.from(pieces(Buffer.alloc(8 * MIB))), channel.stdin)
    channel.stdin.write('more')
    expect(await channel.exit).toEqual({ kind: 'exited', exitCode: 3 })
  })

  test('may be destroyed by who has read enough: the rest is discarded, and the end is told', async (context) => {
    const channel = await (await connect(context)).exec(`head -c ${16 * MIB} /dev/zero; exit 4`)
    for await (const chunk of channel.stdout) {
      expect(chunk).toBeInstanceOf(Buffer)
      break
    }
    expect(await channel.exit).toEqual({ kind: 'exited', exitCode: 4 })
    await channel.closed
  })
}

/** Each of these passes behind whatever the server had to send. */
async function roundTrips(connection: Connection, count: number): Promise<void> {
  for (let done = 0; done < count; done++) await collect(await connection.exec('true'))
}

async function sizeOf(stream: Readable): Promise<number> {
  let sizeBytes = 0
  for await (const chunk of stream) sizeBytes += (chunk as Buffer).length
  return sizeBytes
}

function* pieces(data: Buffer): Generator<Buffer> {
  for (let at = 0; at < data.length; at += 50_000) yield data.subarray(at, at + 50_000)
}

function sha256(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex')
}
