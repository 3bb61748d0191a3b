import { createHash, randomBytes } from 'node:crypto'
import { lstat, mkdir, readdir, readFile, rename, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { remexError, type RemexError } from '../../src/core/errors.ts'
import { download } from '../../src/transfer/download.ts'
import { Partials } from '../../src/transfer/partials.ts'
import { RateLimit } from '../../src/transfer/rate-limit.ts'
import type { MoveOptions, Receipt } from '../../src/transfer/receipt.ts'
import { upload } from '../../src/transfer/upload.ts'
import { localAccess, sftpServerPath, type LocalHost } from './local-access.ts'
import { relayed, typeOf, type Relay } from './relay.ts'
import { leftovers, scratch } from './scratch.ts'

const MB = 1024 * 1024
const [WRITE, DATA] = [6, 103]
const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex')

type Direction = 'upload' | 'download'

/** Two directories, and a way to move `source` to `target` between them. */
interface Stage {
  readonly home: string
  /** The one that holds the source, and the one that holds the target. */
  readonly from: string
  readonly to: string
  readonly move: (options?: MoveOptions, host?: Partial<LocalHost>) => Promise<Receipt>
}

async function stage(direction: Direction): Promise<Stage> {
  const home = await scratch()
  const [from, to] = [join(home, 'from'), join(home, 'to')]
  await Promise.all([mkdir(from), mkdir(to)])
  const partials = new Partials(join(home, 'state'))
  const move = (options: MoveOptions = {}, host: Partial<LocalHost> = {}): Promise<Receipt> => {
    const access = localAccess({ home, ...host })
    const [source, target] = [join(from, 'source'), join(to, 'target')]
    if (direction === 'upload') return upload(access, { localPath: source, remotePath: target, partials, ...options })
    return download(access, { localPath: target, remotePath: source, partials, ...options })
  }
  return { home, from, to, move }
}

/** A host whose connection breaks when `bytes` of content have passed. */
function cutAfter(bytes: number): Partial<LocalHost> {
  let passed = 0
  const passing = (packet: Buffer, type: number, relay: Relay): Buffer[] => {
    passed += typeOf(packet) === type ? packet.length : 0
    if (passed <= bytes) return [packet]
    relay.cut()
    return []
  }
  const wrap: LocalHost['wrap'] = (channel) =>
    relayed(channel, { onRequest: (packet, relay) => passing(packet, WRITE, relay), onReply: (packet, relay) => passing(packet, DATA, relay) })
  return { wrap }
}

/** The same but for one byte. */
function flipped(data: Buffer, at: number): Buffer {
  const other = Buffer.from(data)
  other.writeUInt8(data.readUInt8(at) ^ 0xff, at)
  return other
}

async function failure(work: Promise<unknown>): Promise<RemexError> {
  return (await work.then(() => undefined, (error: unknown) => error)) as RemexError
}

/** What a transfer fails with that is cut. It has one channel: several, as a slow machine gets them, may leave a hole at the beginning. */
function interrupted(move: Stage['move'], afterBytes: number): Promise<RemexError> {
  return failure(move({ mostLanes: 1 }, cutAfter(afterBytes)))
}

/** The one unfinished file in a directory. */
async function partOf(directory: string): Promise<string> {
  const [name = ''] = await leftovers(directory)
  return join(directory, name)
}

describe.skipIf(sftpServerPath === undefined).each(['upload', 'download'] as const)('an interrupted %s', (direction) => {
  it('says where it stood, leaves the old file, and with resume goes on from there', async () => {
    const { from, to, move } = await stage(direction)
    const data = randomBytes(8 * MB + 12_345)
    await writeFile(join(from, 'source'), data)
    await writeFile(join(to, 'target'), 'old')
    const error = await interrupted(move, 5 * MB)
    expect(error).toMatchObject({ code: 'CONNECTION_LOST', message: expect.stringMatching(/it stood at \d{7} of 8400953 bytes, which are kept/), hint: expect.stringContaining('--resume') })
    expect(await readFile(join(to, 'target'), 'utf8')).toBe('old')
    const receipt = await move({ resume: true })
    expect(receipt).toMatchObject({ sizeBytes: data.length, sha256: sha256(data), verified: true })
    expect(receipt.resumedFromBytes).toBeGreaterThan(MB)
    expect(sha256(await readFile(join(to, 'target')))).toBe(sha256(data))
    expect(await leftovers(to)).toEqual([])
  })

  it('is begun anew without resume, and nothing is left of it', async () => {
    const { from, to, move } = await stage(direction)
    const data = randomBytes(4 * MB)
    await writeFile(join(from, 'source'), data)
    await interrupted(move, 3 * MB)
    expect(await leftovers(to)).toHaveLength(1)
    expect(await move()).toMatchObject({ resumedFromBytes: 0, sha256: sha256(data) })
    expect(await readdir(to)).toEqual(['target'])
  })

  const changes: [string, (data: Buffer) => Buffer, number, number][] = [
    ['at its beginning', (data) => flipped(data, 0), 0, 0],
    ['in what is there of it', (data) => flipped(data, 3 * MB + 7), 3 * MB, 3 * MB],
    ['behind what is there of it', (data) => Buffer.concat([data.subarray(0, 7 * MB), randomBytes(MB)]), 6 * MB + 99, 6 * MB + 99],
    ['to something shorter', (data) => data.subarray(0, 2 * MB + 5), 2 * MB, 2 * MB + 5],
    ['to something longer', (data) => Buffer.concat([data, randomBytes(MB)]), 6 * MB + 99, 6 * MB + 99],
    ['to nothing', () => Buffer.alloc(0), 0, 0],
  ]
  it.each(changes)('of a file that changed %s goes on only as far as both are the same', async (_where, change, least, most) => {
    const { from, to, move } = await stage(direction)
    const before = randomBytes(8 * MB)
    await writeFile(join(from, 'source'), before)
    await interrupted(move, 4 * MB)
    await writeFile(await partOf(to), before.subarray(0, 6 * MB + 99))
    const after = change(before)
    await writeFile(join(from, 'source'), after)
    const receipt = await move({ resume: true })
    expect(receipt).toMatchObject({ sizeBytes: after.length, sha256: sha256(after), verified: true })
    expect(receipt.resumedFromBytes).toBeGreaterThanOrEqual(least)
    expect(receipt.resumedFromBytes).toBeLessThanOrEqual(most)
    expect((await readFile(join(to, 'target'))).equals(after)).toBe(true)
    expect(await leftovers(to)).toEqual([])
  })

  it('goes on before the holes that channels side by side may have left', async () => {
    const { from, to, move } = await stage(direction)
    const data = randomBytes(40 * MB)
    await writeFile(join(from, 'source'), data)
    await interrupted(move, 4 * MB)
    await writeFile(await partOf(to), Buffer.from(data.subarray(0, 39 * MB)).fill(0, 30 * MB + 100, 30 * MB + 200))
    expect(await move({ resume: true })).toMatchObject({ resumedFromBytes: 30 * MB, sha256: sha256(data) })
  })

  it('is begun anew where the host has no tool that hashes', async () => {
    const { from, move } = await stage(direction)
    const data = randomBytes(4 * MB)
    await writeFile(join(from, 'source'), data)
    await interrupted(move, 3 * MB)
    const run: LocalHost['run'] = async () => ({ exitCode: 1, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) })
    expect(await move({ resume: true }, { run })).toMatchObject({ resumedFromBytes: 0, sha256: sha256(data), verified: true })
  })

  it('by a cancel is worth keeping from 1 MiB on, and any bytes where resume was asked for', async () => {
    const cases: [number, boolean, number][] = [[600_000, false, 0], [600_000, true, 1], [8 * MB, false, 1]]
    for (const [size, resume, kept] of cases) {
      const { from, to, move } = await stage(direction)
      await writeFile(join(from, 'source'), randomBytes(size))
      const cancel = new AbortController()
      const onProgress = (doneBytes: number): void => {
        if (doneBytes >= size / 2) cancel.abort(remexError('CANCELLED', 'enough'))
      }
      const options = { resume, signal: cancel.signal, onProgress }
      expect(await failure(move(options))).toMatchObject({ code: 'CANCELLED' })
      expect(await leftovers(to)).toHaveLength(kept)
    }
  })

  it('is kept as well when it waited for its turn under a limit', async () => {
    const { from, to, move } = await stage(direction)
    await writeFile(join(from, 'source'), randomBytes(6 * MB))
    const cancel = new AbortController()
    const onProgress = (doneBytes: number): void => {
      if (doneBytes >= 2 * MB) cancel.abort()
    }
    const limit = new RateLimit(4 * MB, systemClock)
    expect(await failure(move({ limit, signal: cancel.signal, onProgress }))).toMatchObject({ code: 'CANCELLED', message: expect.stringContaining('are kept') })
    expect(await leftovers(to)).toHaveLength(1)
    expect((await move({ resume: true })).resumedFromBytes).toBeGreaterThan(MB)
  })

  it('is not gone on with in a link that somebody put in its place', async () => {
    const { from, to, home, move } = await stage(direction)
    const data = randomBytes(4 * MB)
    await writeFile(join(from, 'source'), data)
    await interrupted(move, 3 * MB)
    const part = await partOf(to)
    await rename(part, join(home, 'victim'))
    await symlink(join(home, 'victim'), part)
    const before = await readFile(join(home, 'victim'))
    expect(await move({ resume: true })).toMatchObject({ resumedFromBytes: 0, sha256: sha256(data) })
    expect((await readFile(join(home, 'victim'))).equals(before)).toBe(true)
    expect((await lstat(join(to, 'target'))).isFile()).toBe(true)
    expect(await leftovers(to)).toEqual([])
  })

  it('while another to the same place is under way disturbs neither', async () => {
    const { from, to, move } = await stage(direction)
    const data = randomBytes(3 * MB)
    await writeFile(join(from, 'source'), data)
    const receipts = await Promise.all([move({ resume: true }), move({ resume: true }), move()])
    for (const receipt of receipts) expect(receipt).toMatchObject({ sha256: sha256(data), verified: true })
    expect(await readdir(to)).toEqual(['target'])
  })
})

describe.skipIf(sftpServerPath === undefined)('a part of a file', () => {
  it('that is longer than the source has become is cut', async () => {
    const { from, to, move } = await stage('upload')
    const data = randomBytes(5 * MB)
    await writeFile(join(from, 'source'), data)
    await interrupted(move, 4 * MB)
    await truncate(join(from, 'source'), 100)
    expect(await move({ resume: true })).toMatchObject({ sizeBytes: 100, verified: true })
    expect((await readFile(join(to, 'target'))).length).toBe(100)
  })
})
