import { execFileSync } from 'node:child_process'
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseAnchors } from '../../src/audit/verify/anchor.ts'
import { auditFiles } from '../../src/audit/files.ts'
import { readHead, writeHead } from '../../src/audit/head.ts'
import { SignatureCheck } from '../../src/audit/verify/signature-check.ts'
import { SigningKey, verifierOf } from '../../src/audit/signing.ts'
import { verifyAudit } from '../../src/audit/verify/verify.ts'
import { logDirectory, type LogDirectory } from './log-directory.ts'

let place: LogDirectory

beforeEach(async () => {
  place = await logDirectory()
  await place.fill(5)
})
afterEach(() => place.remove())

/** Every record from `from` on, with its fields changed by `change` and the chain computed anew. */
async function recomputed(change: (record: Record<string, unknown>) => void): Promise<{ seq: number; hash: string }> {
  let prev = '0'.repeat(64)
  const lines = (await place.records()).map(({ hash: _, ...record }) => {
    change(record)
    const body = JSON.stringify({ ...record, prev })
    prev = createHash('sha256').update(body).digest('hex')
    return JSON.stringify({ ...JSON.parse(body), hash: prev })
  })
  await place.write(lines)
  return { seq: lines.length, hash: prev }
}

const toMallory = (record: Record<string, unknown>): void => {
  if (record.seq === 3) record.user_id = 'mallory'
}

async function forgeHead(head: object): Promise<void> {
  await writeFile(place.head, JSON.stringify({ ...head, size_bytes: (await readFile(place.log)).length }))
}

describe('a log that was computed anew without its key', () => {
  it('is found when its head was left as it was', async () => {
    await recomputed(toMallory)
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: false, problem: 'altered', seq: 10 })
  })

  it('is found when a head without a signature was written', async () => {
    await forgeHead(await recomputed(toMallory))
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: false, problem: 'altered', file: 'head.json', message: expect.stringContaining('not signed') })
  })

  it('is found when the old signature stands at the new head', async () => {
    const { key, signature }: { key: string; signature: string } = JSON.parse(await readFile(place.head, 'utf8'))
    await forgeHead({ ...(await recomputed(toMallory)), key, signature })
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: false, problem: 'altered', file: 'head.json' })
  })

  it('is found when its head was removed', async () => {
    await recomputed(toMallory)
    await rm(place.head)
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: false, problem: 'cut_off', message: expect.stringContaining('head.json is not there') })
  })

  it('is found by the signatures in the log when its head was removed', async () => {
    await place.fill(600)
    await recomputed(toMallory)
    await rm(place.head)
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: false, problem: 'altered', seq: 1000 })
  })

  it('is found when head and public key were removed', async () => {
    await forgeHead(await recomputed(toMallory))
    const publicKey = join(place.directory, '..', 'elsewhere.pub')
    await writeFile(publicKey, await readFile(place.publicKey))
    await Promise.all([rm(place.head), rm(place.publicKey), rm(place.signingKey)])
    expect(await verifyAudit(place.directory, { publicKey })).toMatchObject({ ok: false, problem: 'other_key' })
  })

  it('is named as signed by another key, by a public key that was kept elsewhere', async () => {
    const kept = join(place.directory, '..', 'kept.pub')
    await writeFile(kept, await readFile(place.publicKey))
    const head = await recomputed(toMallory)
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const key = `SHA256:${createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64').replace(/=+$/, '')}`
    const signature = sign(null, Buffer.from(`remex audit head\n${head.seq}\n${head.hash}\n`), privateKey).toString('base64')
    await forgeHead({ ...head, key, signature })
    await writeFile(place.publicKey, publicKey.export({ type: 'spki', format: 'pem' }))
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true })
    expect(await verifyAudit(place.directory, { publicKey: kept })).toMatchObject({ ok: false, problem: 'other_key', message: expect.stringContaining(key) })
  })
})

describe('a log that was signed', () => {
  it('is verified on another machine by its files and its public key alone', async () => {
    const elsewhere = await logDirectory()
    await elsewhere.fill(1)
    const publicKey = join(elsewhere.directory, '..', 'other.pub')
    await writeFile(publicKey, await readFile(place.publicKey))
    await writeFile(elsewhere.log, await readFile(place.log))
    await writeFile(elsewhere.head, await readFile(place.head))
    await Promise.all([rm(elsewhere.publicKey), rm(elsewhere.signingKey)])
    expect(await verifyAudit(elsewhere.directory, { publicKey })).toMatchObject({ ok: true, count: 10, signed: { seq: 10 } })
    await elsewhere.remove()
  })

  it('signs every thousandth record, so that the records alone are proven up to there', async () => {
    await place.fill(600)
    await rm(place.head)
    expect((await place.records())[999]).toMatchObject({ seq: 1000, event: 'signed', key: expect.stringMatching(/^SHA256:/) })
    expect(await verifyAudit(place.directory, { publicKey: place.publicKey })).toMatchObject({ ok: true, headChecked: false, signed: { seq: 999 } })
  })

  it('is empty, and right, when its first writer was killed before it published the key', async () => {
    const begun = await logDirectory()
    await mkdir(begun.directory, { recursive: true })
    await writeFile(begun.log, '')
    writeHead(begun.head, { seq: 0, hash: '0'.repeat(64), sizeBytes: 0 }, await SigningKey.of(auditFiles(begun.directory)))
    expect(await verifyAudit(begun.directory)).toMatchObject({ ok: true, count: 0 })
    await begun.fill(1)
    expect(await verifyAudit(begun.directory)).toMatchObject({ ok: true, count: 2, repaired: [], signed: { seq: 2 } })
    await begun.remove()
  })

  it('is verified by the key that is published while it is read', () => {
    const head = readHead(place.head)
    const check = new SignatureCheck(undefined, () => verifierOf(place.publicKey))
    expect(head && check.head(head)).toBeUndefined()
    expect(check.signed).toEqual({ key: head?.signed?.key, seq: 0 })
  })

  it('is verified by its key itself where a writer was killed before it wrote the public half', async () => {
    await rm(place.publicKey)
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, signed: { seq: 10 } })
    await place.fill(1)
    expect(await verifyAudit(place.directory, { publicKey: place.publicKey })).toMatchObject({ ok: true, count: 12, repaired: [] })
  })

  it('is not believed where no key is there to tell', async () => {
    await Promise.all([rm(place.publicKey), rm(place.signingKey)])
    await expect(verifyAudit(place.directory)).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE', hint: expect.stringContaining('--public-key') })
  })

  it('does not take a signature out of its middle for its end', async () => {
    await place.fill(600)
    const records = await place.records()
    const { key, signature, prev } = records[999] ?? {}
    await place.write((await place.lines()).slice(0, 999))
    await forgeHead({ seq: 999, hash: prev, key, signature })
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: false, problem: 'altered', file: 'head.json' })
  })

  it('says of a head that was forged, in its next record, that it was', async () => {
    await place.write((await place.lines()).slice(0, 4))
    await forgeHead({ seq: 4, hash: (await place.records()).at(-1)?.hash })
    await place.fill(1)
    expect((await place.records())[4]).toMatchObject({ event: 'repaired', reason: expect.stringContaining('signature is wrong') })
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, repaired: [5] })
  })

  it('is signed from its next record on where a version wrote it that did not sign', async () => {
    const { key: _, signature: __, ...head }: Record<string, unknown> = JSON.parse(await readFile(place.head, 'utf8'))
    await Promise.all([rm(place.signingKey), rm(place.publicKey), writeFile(place.head, JSON.stringify(head))])
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, headChecked: true, signed: undefined })
    await place.fill(1)
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: 12, signed: { seq: 12 }, repaired: [] })
  })

  const REFUSALS: [string, () => Promise<void>, string][] = [
    ['is gone', () => rm(place.signingKey), 'it is gone'],
    ['may be read by others', () => chmod(place.signingKey, 0o640), 'others than its owner may read it'],
    ['is not one', () => writeFile(place.signingKey, 'x'), 'it is not a private key'],
    [
      'is another one',
      () => writeFile(place.signingKey, generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })),
      'the log is signed by another key',
    ],
  ]
  it.each(REFUSALS)('refuses every record when its key %s', async (_, spoil, reason) => {
    await spoil()
    const log = await place.open()
    await expect(log.note('denied', {})).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE', message: expect.stringContaining(reason) })
    await log.close()
  })

  const NO_KEYS: [string, string, string][] = [
    ['is no key', 'hello', 'is not the public key of an audit log'],
    ['is a private key', generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), 'private key'],
    ['is a key of another type', generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'pem' }).toString(), 'rsa'],
  ]
  it.each(NO_KEYS)('is not verified by a public key that %s', async (_, text, message) => {
    const path = join(place.directory, '..', 'wrong.pub')
    await writeFile(path, text)
    await expect(verifyAudit(place.directory, { publicKey: path })).rejects.toMatchObject({ code: 'USAGE', message: expect.stringContaining(message) })
  })
})

describe('what lies in the place of its files', () => {
  const refusal = { code: 'AUDIT_UNAVAILABLE' }
  it.each(['head.json', 'signing.pub', 'signing.key'])('is not waited for where it is a FIFO: %s', async (name) => {
    await rm(join(place.directory, name))
    execFileSync('mkfifo', [join(place.directory, name)])
    const log = await place.open()
    await expect(log.note('denied', {})).rejects.toMatchObject(refusal)
    await log.close()
    if (name === 'head.json') expect(await verifyAudit(place.directory)).toMatchObject({ ok: false, problem: 'cut_off' })
    if (name === 'signing.pub') await expect(verifyAudit(place.directory)).rejects.toMatchObject(refusal)
  })
})

describe('an anchor', () => {
  it('is found in the log it was taken of, also when that has grown', async () => {
    const log = await place.open()
    const anchor = await log.anchor()
    await log.close()
    await place.fill(2)
    expect(await verifyAudit(place.directory, { anchors: [anchor] })).toMatchObject({ ok: true, anchors: { checked: 1, tooOld: 0 } })
  })

  it('shows a log that was cut off behind the back of its head', async () => {
    const earlier = await readFile(place.head)
    const lines = await place.lines()
    await place.fill(2)
    const log = await place.open()
    const anchor = await log.anchor()
    await log.close()
    await place.write(lines)
    await writeFile(place.head, earlier)
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true })
    expect(await verifyAudit(place.directory, { anchors: [anchor] })).toMatchObject({ ok: false, problem: 'cut_off', seq: 11 })
  })

  it('shows a log that was written anew, even with its key', async () => {
    const other = { seq: 4, hash: 'a'.repeat(64) }
    expect(await verifyAudit(place.directory, { anchors: [other] })).toMatchObject({ ok: false, problem: 'altered', seq: 4 })
  })

  const TEXTS: [string, string][] = [
    ['nothing', '\n\n'],
    ['a word', 'hello'],
    ['a head without a hash', '{"seq":3}'],
    ['a number that is none', `{"seq":-1,"hash":"${'a'.repeat(64)}"}`],
  ]
  it.each(TEXTS)('is not read out of %s', (_, text) => {
    expect(() => parseAnchors(text, 'anchors')).toThrow(/anchor/)
  })

  it('is read line by line', () => {
    const lines = [1, 2].map((seq) => JSON.stringify({ seq, hash: 'b'.repeat(64), time: 'x' })).join('\n')
    expect(parseAnchors(`${lines}\n\n`, 'anchors')).toEqual([1, 2].map((seq) => ({ seq, hash: 'b'.repeat(64) })))
  })
})
