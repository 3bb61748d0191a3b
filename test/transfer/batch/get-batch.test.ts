import { createHash, randomBytes } from 'node:crypto'
import { appendFile, chmod, mkdir, mkdtemp, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { remexError } from '../../../src/core/errors.ts'
import type { TransferAccess } from '../../../src/transfer/access.ts'
import { getBatch, type GetBatch } from '../../../src/transfer/batch/get-batch.ts'
import type { HostTools } from '../../../src/transfer/batch/host-tools.ts'
import { batchMemberName, putBatch } from '../../../src/transfer/batch/put-batch.ts'
import { localAccess } from '../local-access.ts'
import { scratch } from '../scratch.ts'
import { ALL_TOOLS, hostWith, toolsOf, which } from './tool-path.ts'

const sha256Of = (content: Buffer): string => createHash('sha256').update(content).digest('hex')

type Named = readonly [string | Buffer, Buffer]

/** Makes the files and says how they are asked for. */
async function lay(root: string, files: readonly Named[]): Promise<GetBatch> {
  for (const [name, content] of files) await writeFile(Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name)]), content)
  return { root: Buffer.from(root), files: files.map(([name, content]) => ({ path: Buffer.from(name), sizeBytes: content.length })), signal: undefined }
}

/** The contents that came, as text; null where none did. */
async function fetched(access: TransferAccess, batch: GetBatch, tools?: HostTools): Promise<(string | null)[]> {
  const files = await getBatch(access, tools ?? (await toolsOf(access)), batch)
  expect(files.length).toBe(batch.files.length)
  for (const file of files) if (file) expect(file.sha256).toBe(sha256Of(file.content))
  return files.map((file) => file?.content.toString('latin1') ?? null)
}

const abc: readonly Named[] = [['a', Buffer.from('first')], ['b', Buffer.from('second')], ['c', Buffer.from('third')]]

/** Names that a file may have and that have broken other tools. */
const NAMES: readonly Buffer[] = [
  '  two  words ', `it's "quoted"`, 'line\nbreak', 'ends\n', '\n\n', 'back\\slash\\n', 'carriage\rreturn', '-x', '-', '--', '\\', '$(touch owned);`id`&|<>*?[a]{b}!#~',
  '100%s%n\\101', 'zażółć 北京 🦊', '.hidden', `${'0'.repeat(64)}  a`, `x\n${'0'.repeat(64)}  b`, 'remex-batch 1', 'x\nremex-batch 1', '_', 'a=b', '*',
].map((name) => Buffer.from(name)).concat([Buffer.from([0x66, 0xff, 0xfe, 0x80, 0x0a, 0x27, 0x25, 0x5c]), Buffer.from([1, 7, 0x1b, 0x5b, 0x7f]), Buffer.alloc(255, 0x6e)])

const HOSTS: [string, (home: string) => Promise<TransferAccess>, string][] = [
  ['the tools of this machine', async (home) => localAccess({ home }), 'tar'],
  ['busybox', (home) => hostWith(home, { programs: [...ALL_TOOLS, 'busybox'], busybox: true }), 'busybox'],
  ['openssl for checksums', (home) => hostWith(home, { programs: [...ALL_TOOLS.filter((tool) => tool !== 'sha256sum'), 'openssl'] }), 'openssl'],
  ['shasum for checksums', (home) => hostWith(home, { programs: [...ALL_TOOLS.filter((tool) => tool !== 'sha256sum'), 'shasum', 'perl', 'env'] }), 'shasum'],
  ['the sha256 of BSD', (home) => hostWith(home, { programs: [...ALL_TOOLS.filter((tool) => tool !== 'sha256sum'), 'sed'], scripts: { sha256: BSD_SHA256 } }), 'sha256sum'],
  ['no stat', (home) => hostWith(home, { programs: ALL_TOOLS.filter((tool) => tool !== 'stat') }), 'tar'],
]
const BSD_SHA256 = `[ "$1" = -r ] && shift; for f do s=$(${which('sha256sum') ?? ''} <"$f") || exit 1; printf '%s %s\\n' "\${s%% *}" "$f"; done`

describe.each(HOSTS)('getBatch, with %s', (_what, hostOf, needed) => {
  it('fetches files of any name and size', async ({ skip }) => {
    skip(which(needed) === undefined, `there is no ${needed} on this machine`)
    const home = await scratch()
    const sizes = [0, 1, 2048, 100_000]
    const batch = await lay(await mkdtemp(join(home, 'root-')), NAMES.map((name, index) => [name, randomBytes(sizes[index % 4] ?? 0)]))
    const access = await hostOf(home)
    const got = await fetched(access, batch)
    expect(got.map((content) => content?.length ?? null)).toEqual(batch.files.map(({ sizeBytes }) => sizeBytes))
  })

  it('fetches files below the root, in the order asked for', async ({ skip }) => {
    skip(which(needed) === undefined, `there is no ${needed} on this machine`)
    const home = await scratch()
    const root = await mkdtemp(join(home, 'ro ot\n'))
    await mkdir(join(root, '-d/e f'), { recursive: true })
    const batch = await lay(root, [['-d/z', Buffer.from('1')], ['-d/e f/y', Buffer.from('2')], ['x', Buffer.from('3')]])
    expect(await fetched(await hostOf(home), batch)).toEqual(['1', '2', '3'])
  })

  it('gives null for files that vanished before, and all others', async ({ skip }) => {
    skip(which(needed) === undefined, `there is no ${needed} on this machine`)
    const home = await scratch()
    const root = await mkdtemp(join(home, 'root-'))
    const batch = await lay(root, abc)
    const access = await hostOf(home)
    await rm(join(root, 'b'))
    expect(await fetched(access, batch)).toEqual(['first', null, 'third'])
    await rm(join(root, 'a'))
    await rm(join(root, 'c'))
    expect(await fetched(access, batch)).toEqual([null, null, null])
  })
})

describe('getBatch', () => {
  it('runs no command for no files', async () => {
    const run = (): Promise<never> => Promise.reject(new Error('it was run'))
    const tools = await toolsOf(localAccess({ home: '/' }))
    expect(await getBatch(localAccess({ home: '/', run }), tools, { root: Buffer.from('/'), files: [], signal: undefined })).toEqual([])
  })

  it('fetches more files than the host takes as arguments of one command', async () => {
    const home = await scratch()
    const root = join(home, 'root')
    await mkdir(root)
    const files = Array.from({ length: 1000 }, (_, index): Named => [`${'long-name-'.repeat(22)}${index}`, Buffer.from(`content ${index}`)])
    const batch = await lay(root, files)
    await rm(join(root, files[500]?.[0].toString() ?? ''))
    const got = await fetched(localAccess({ home }), batch)
    expect(got).toEqual(files.map(([, content], index) => (index === 500 ? null : content.toString())))
  })

  const changes: [string, (root: string) => Promise<unknown>][] = [
    ['grew', (root) => appendFile(join(root, 'b'), 'more')],
    ['shrank', (root) => truncate(join(root, 'b'), 1)],
    ['became empty', (root) => truncate(join(root, 'b'), 0)],
    ['became a directory', async (root) => { await rm(join(root, 'b')); await mkdir(join(root, 'b')) }],
    ['became a link to another file', async (root) => { await rm(join(root, 'b')); await symlink('a', join(root, 'b')) }],
    ['became a link to nothing', async (root) => { await rm(join(root, 'b')); await symlink('/nowhere', join(root, 'b')) }],
    ['became a pipe, which nobody writes to', async (root) => { await rm(join(root, 'b')); execFileSync('mkfifo', [join(root, 'b')]) }],
  ]
  it.each(changes)('gives null for a file that %s, and all others', async (_what, change) => {
    const home = await scratch()
    const batch = await lay(home, abc)
    await change(home)
    expect(await fetched(localAccess({ home }), batch)).toEqual(['first', null, 'third'])
  })

  it('gives null for a file that may not be read, and all others', async ({ skip }) => {
    skip(process.getuid?.() === 0, 'root may read everything')
    const home = await scratch()
    const batch = await lay(home, abc)
    await chmod(join(home, 'b'), 0)
    expect(await fetched(localAccess({ home }), batch)).toEqual(['first', null, 'third'])
  })

  it('gives no file that it did not verify when one changes its size between the look and the reading', async () => {
    const home = await scratch()
    const batch = await lay(home, abc)
    const tools = await toolsOf(localAccess({ home }))
    const host = await hostWith(home, { programs: ALL_TOOLS, scripts: { 'hash-then-grow': 'sha256sum "$@"; echo more >>./b' } })
    expect(await fetched(host, batch, { ...tools, checksum: 'hash-then-grow' })).toEqual(['first', 'second', null])
    await rename(join(home, 'b'), join(home, 'away'))
    await writeFile(join(home, 'b'), 'second')
    const vanish = await hostWith(home, { programs: ALL_TOOLS, scripts: { 'hash-then-vanish': 'sha256sum "$@"; rm ./b' } })
    expect(await fetched(vanish, batch, { ...tools, checksum: 'hash-then-vanish' })).toEqual(['first', null, null])
  })

  it('gives what came before a file of another size where the host tells no sizes, and nothing wrong after it', async () => {
    const home = await scratch()
    const batch = await lay(home, abc)
    await appendFile(join(home, 'b'), 'more')
    const tools = { ...(await toolsOf(localAccess({ home }))), sizes: undefined }
    expect(await fetched(localAccess({ home }), batch, tools)).toEqual(['first', null, null])
  })

  it('gives null for all where the root is not there', async () => {
    const home = await scratch()
    const batch = await lay(home, abc)
    expect(await fetched(localAccess({ home }), { ...batch, root: Buffer.from(`${home}/none`) })).toEqual([null, null, null])
  })

  const lies: [string, string, (string | null)[]][] = [
    ['gives wrong digests', `for f do echo "${'a'.repeat(64)}  $f"; done`, [null, null, null]],
    ['gives a wrong digest for one file', `sha256sum ./a; echo "${'a'.repeat(64)}  ./b"; sha256sum ./c`, ['first', null, 'third']],
    ['leaves out a file', 'sha256sum ./a ./c', [null, null, null]],
    ['tells the files in another order', 'sha256sum ./b ./a ./c', [null, null, null]],
    ['talks in between', 'sha256sum ./a; echo and now; sha256sum ./b ./c', [null, null, null]],
    ['prints digests that are none', `for f do echo "${'g'.repeat(64)}  $f"; done`, [null, null, null]],
    ['says nothing', ':', [null, null, null]],
    ['says far too much', 'yes | head -c 3000000', [null, null, null]],
  ]
  it.each(lies)('gives nothing that it did not verify on a host whose tool %s', async (_what, body, contents) => {
    const home = await scratch()
    const batch = await lay(home, abc)
    const tools = await toolsOf(localAccess({ home }))
    const host = await hostWith(home, { programs: [...ALL_TOOLS, 'yes', 'head'], scripts: { lie: body } })
    expect(await fetched(host, batch, { ...tools, checksum: 'lie' })).toEqual(contents)
  })

  /** A host that says this, in such chunks, until it is ended. */
  function telling(chunks: () => Iterable<Buffer>): { access: TransferAccess; told: () => number } {
    let told = 0
    const run: TransferAccess['run'] = async (_command, { onOutput, signal } = {}) => {
      for (const chunk of chunks()) {
        signal?.throwIfAborted()
        told += chunk.length
        await onOutput?.('stdout', chunk)
      }
      return { exitCode: 0, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }
    }
    return { access: localAccess({ home: '/', run }), told: () => told }
  }

  const content = Buffer.from('content')
  const answer = Buffer.from(`Welcome\nremex-batch 1\n7\n${sha256Of(content)}  ./a\ncontent`)
  const oneFile: GetBatch = { root: Buffer.from('/'), files: [{ path: Buffer.from('a'), sizeBytes: 7 }], signal: undefined }
  const gnu: HostTools = { umask: 0o022, checksum: 'sha256sum', sync: 'sync', sizes: 'stat -c %s' }

  it('understands an answer however it is cut into chunks', async () => {
    for (let cut = 0; cut <= answer.length; cut += 1) {
      expect(await fetched(telling(() => [answer.subarray(0, cut), answer.subarray(cut)]).access, oneFile, gnu)).toEqual(['content'])
    }
    expect(await fetched(telling(() => Array.from(answer, (byte) => Buffer.from([byte]))).access, oneFile, gnu)).toEqual(['content'])
  })

  it('gives null where the answer ends early, wherever that is', async () => {
    for (let cut = 0; cut < answer.length; cut += 1) {
      expect(await fetched(telling(() => [answer.subarray(0, cut)]).access, oneFile, gnu)).toEqual([null])
    }
  })

  it('gives null where any bit of digest or content is another', async () => {
    for (let at = answer.indexOf('\n7\n') + 3; at < answer.length; at += 1) {
      const flipped = Buffer.from(answer)
      flipped[at] = (flipped[at] ?? 0) ^ 1
      expect(await fetched(telling(() => [flipped]).access, oneFile, gnu)).toEqual([null])
    }
  })

  function* forever(start: Buffer, chunk: Buffer): Generator<Buffer> {
    yield start
    for (;;) yield chunk
  }
  const floods: [string, Buffer, Buffer, (string | null)[]][] = [
    ['noise in lines', Buffer.alloc(0), Buffer.from('Welcome\n'.repeat(100)), [null]],
    ['noise without lines', Buffer.alloc(0), Buffer.alloc(1000, 0x78), [null]],
    ['noise byte by byte', Buffer.alloc(0), Buffer.from('x'), [null]],
    ['empty lines', Buffer.alloc(0), Buffer.from('\n'), [null]],
    ['a size without end', Buffer.from('remex-batch 1\n'), Buffer.from('7'), [null]],
    ['a file that is far larger now', Buffer.from(`remex-batch 1\n99999999999\n${'0'.repeat(64)}  ./a\n`), Buffer.alloc(1000), [null]],
    ['a name without end', Buffer.from(`remex-batch 1\n7\n\\${'0'.repeat(64)}  ./`), Buffer.alloc(1000, 0x61), [null]],
    ['more files than were asked for', Buffer.from(`remex-batch 11\n`), Buffer.alloc(1000), [null]],
    ['more bytes than the file has', answer, Buffer.alloc(1000), ['content']],
  ]
  it.each(floods)('ends a host that sends %s', async (_what, start, chunk, contents) => {
    const { access, told } = telling(() => forever(start, chunk))
    expect(await fetched(access, oneFile, gnu)).toEqual(contents)
    expect(told()).toBeLessThan(200_000)
  })

  it('tells how much came, once for each file that is right', async () => {
    const home = await scratch()
    const batch = await lay(home, abc)
    await truncate(join(home, 'b'), 1)
    const received: number[] = []
    await fetched(localAccess({ home }), { ...batch, onReceived: (bytes) => received.push(bytes) })
    expect(received).toEqual([5, 5])
  })

  it('rejects when the connection is lost, and gives null for all when the host refuses', async () => {
    const refusing = (code: 'CONNECTION_LOST' | 'CHANNEL_REFUSED'): TransferAccess =>
      localAccess({ home: '/', run: () => Promise.reject(remexError(code, 'no')) })
    await expect(getBatch(refusing('CONNECTION_LOST'), gnu, oneFile)).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
    expect(await getBatch(refusing('CHANNEL_REFUSED'), gnu, oneFile)).toEqual([null])
  })

  it('rejects with the signal’s reason when it aborts in the middle', async () => {
    const home = await scratch()
    const batch = await lay(home, abc)
    const controller = new AbortController()
    const reason = remexError('CANCELLED', 'enough')
    const attempt = getBatch(localAccess({ home }), await toolsOf(localAccess({ home })), {
      ...batch,
      signal: controller.signal,
      onReceived: () => controller.abort(reason),
    })
    await expect(attempt).rejects.toBe(reason)
  })
})

describe('a batch that was put and is got back', () => {
  it('is the same, byte for byte', async () => {
    const home = await scratch()
    const access = localAccess({ home })
    const tools = await toolsOf(access)
    const file = fc.record({ content: fc.uint8Array({ maxLength: 3000 }), mode: fc.integer({ min: 0o400, max: 0o777 }).map((mode) => mode | 0o400) })
    await fc.assert(
      fc.asyncProperty(fc.array(file, { maxLength: 30 }), async (files) => {
        const directory = Buffer.from(join(await mkdtemp(join(home, 'batch-')), 'made'))
        const contents = files.map(({ content }) => Buffer.from(content))
        const put = contents.map((content, index) => ({ content, sha256: sha256Of(content), mode: files[index]?.mode ?? 0, mtime: undefined }))
        await putBatch(access, tools, { directory, files: put, nameOf: batchMemberName, signal: undefined })
        const wanted = contents.map((content, index) => ({ path: Buffer.from(batchMemberName(index)), sizeBytes: content.length }))
        const got = await getBatch(access, tools, { root: directory, files: wanted, signal: undefined })
        expect(got.map((each) => each?.content)).toEqual(contents)
      }),
      { numRuns: 20 },
    )
  })
})
