import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BLOCK_BYTES, SpoolStore } from '../../../src/cli/gather/spool-store.ts'
import { Spool } from '../../../src/cli/gather/spool.ts'

let folder: string
let store: SpoolStore

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'remex-spool-'))
  store = new SpoolStore(folder)
})

afterEach(async () => {
  await store[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

/** Bytes that differ from place to place. */
function pattern(sizeBytes: number, seed = 0): Buffer {
  return Buffer.from(Uint8Array.from({ length: sizeBytes }, (_, at) => (at * 31 + (at >> 8) + seed) & 0xff))
}

async function filled(bytes: Buffer, pieceBytes = 32_000): Promise<Spool> {
  const spool = new Spool(store)
  for (let at = 0; at < bytes.length; at += pieceBytes) await spool.add(bytes.subarray(at, at + pieceBytes))
  return spool
}

async function contents(spool: Spool, from = 0): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of spool.read(from)) parts.push(Buffer.from(part))
  return Buffer.concat(parts)
}

const SIZES = [0, 1, 4096, 4097, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, 3 * BLOCK_BYTES + 5000]

describe('a spool', () => {
  it.each(SIZES)('gives back %i bytes as they came, kept or not', async (sizeBytes) => {
    const bytes = pattern(sizeBytes)
    const spool = await filled(bytes)
    expect((await contents(spool)).equals(bytes)).toBe(true)
    await spool.identity()
    await spool.keep()
    expect((await contents(spool)).equals(bytes)).toBe(true)
    expect(spool.sizeBytes).toBe(sizeBytes)
  })

  it('gives back its end from any place', async () => {
    const bytes = pattern(2 * BLOCK_BYTES + 100)
    const spool = await filled(bytes)
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: bytes.length + 1 }), async (from) => {
        expect((await contents(spool, from)).equals(bytes.subarray(from))).toBe(true)
      }),
      { numRuns: 50 },
    )
  })

  it('takes one chunk of many blocks, and chunks that nobody waited for', async () => {
    const bytes = pattern(5 * BLOCK_BYTES + 17)
    const spool = new Spool(store)
    const waits = [spool.add(bytes.subarray(0, 4 * BLOCK_BYTES + 9)), spool.add(bytes.subarray(4 * BLOCK_BYTES + 9, 5 * BLOCK_BYTES)), spool.add(bytes.subarray(5 * BLOCK_BYTES))]
    for (const wait of waits) await wait
    expect((await contents(spool)).equals(bytes)).toBe(true)
  })

  it('does not see what its giver does with a chunk afterwards', async () => {
    const chunk = Buffer.from('mine')
    const spool = await filled(chunk)
    chunk.fill('x')
    expect((await contents(spool)).toString()).toBe('mine')
  })

  it('has the same identity as another exactly where the bytes are the same, however they came', async () => {
    const bytes = fc.uint8Array({ maxLength: 3 }).map((array) => Buffer.from(array.map((byte) => byte % 2)))
    await fc.assert(
      fc.asyncProperty(bytes, bytes, fc.integer({ min: 1, max: 3 }), async (one, other, pieceBytes) => {
        const identities = [await (await filled(one, pieceBytes)).identity(), await (await filled(other)).identity()]
        expect(identities[0] === identities[1]).toBe(one.equals(other))
      }),
    )
  })

  it('asks for its identity as often as one likes', async () => {
    const spool = await filled(Buffer.from('x'))
    expect(await spool.identity()).toBe(await spool.identity())
  })
})

describe('the store of spools', () => {
  it('is not touched by what is small', async () => {
    const spool = await filled(pattern(4096), 100)
    await spool.keep()
    expect(store.sizeBytes).toBe(0)
  })

  it('has no name on the disk, so that nothing is left however the process ends', async () => {
    const spool = await filled(pattern(3 * BLOCK_BYTES))
    expect(store.sizeBytes).toBe(3 * BLOCK_BYTES)
    expect(await readdir(folder)).toEqual([])
    expect((await contents(spool)).equals(pattern(3 * BLOCK_BYTES))).toBe(true)
  })

  it('uses again what was given back, and keeps spools apart', async () => {
    const kept = await filled(pattern(2 * BLOCK_BYTES, 1))
    for (let round = 0; round < 20; round++) {
      const spool = await filled(pattern(3 * BLOCK_BYTES, round))
      expect((await contents(spool)).equals(pattern(3 * BLOCK_BYTES, round))).toBe(true)
      await spool.drop()
    }
    expect(store.sizeBytes).toBe(5 * BLOCK_BYTES)
    expect((await contents(kept)).equals(pattern(2 * BLOCK_BYTES, 1))).toBe(true)
  })

  it('that cannot write costs the output, but neither its length nor its identity', async () => {
    const bytes = pattern(3 * BLOCK_BYTES)
    const whole = await filled(bytes)
    store = new SpoolStore(join(folder, 'nowhere'))
    const spool = await filled(bytes)
    expect(spool.error).toMatchObject({ code: 'ENOENT' })
    expect(spool.sizeBytes).toBe(bytes.length)
    expect(await spool.identity()).toBe(await whole.identity())
    expect((await contents(spool)).equals(Buffer.alloc(0))).toBe(true)
  })
})
