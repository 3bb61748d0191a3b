import { createHash, randomBytes } from 'node:crypto'
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { remexError } from '../../../src/core/errors.ts'
import { hashBatch } from '../../../src/transfer/batch/hash-batch.ts'
import type { HostTools } from '../../../src/transfer/batch/host-tools.ts'
import { localAccess } from '../local-access.ts'
import { scratch } from '../scratch.ts'
import { toolsOf } from './tool-path.ts'

const sha256Of = (content: Buffer): string => createHash('sha256').update(content).digest('hex')
const GNU: HostTools = { umask: 0o022, checksum: 'sha256sum', sync: 'sync', sizes: undefined }

describe('hashBatch', () => {
  it('tells the SHA-256 of each file, of any size and name, and null for what is no file', async () => {
    const home = await scratch()
    const access = localAccess({ home })
    const names = ['-plain', 'line\nbreak\\', 'empty', 'gone', 'a link', 'directory', 'large']
    const contents = names.map((name) => randomBytes(name === 'empty' ? 0 : name === 'large' ? 3_000_000 : 100))
    for (const [index, name] of names.entries()) await writeFile(join(home, name), contents[index] ?? '')
    for (const name of ['gone', 'a link', 'directory']) await rm(join(home, name))
    await symlink('large', join(home, 'a link'))
    await mkdir(join(home, 'directory'))
    const hashes = await hashBatch(access, await toolsOf(access), { root: Buffer.from(home), paths: names.map((name) => Buffer.from(name)), signal: undefined })
    expect(hashes).toEqual(names.map((name, index) => (['gone', 'a link', 'directory'].includes(name) ? null : sha256Of(contents[index] ?? Buffer.alloc(0)))))
  })

  it('runs no command for no files', async () => {
    const access = localAccess({ home: '/', run: () => Promise.reject(new Error('it was run')) })
    expect(await hashBatch(access, GNU, { root: Buffer.from('/'), paths: [], signal: undefined })).toEqual([])
  })

  it('tells of thousands of files', async () => {
    const home = await scratch()
    const access = localAccess({ home })
    const paths = Array.from({ length: 3000 }, (_, index) => Buffer.from(`a-longer-name-of-a-file-${index}`))
    await access.run(`i=0; while [ $i -lt 3000 ]; do echo $i >a-longer-name-of-a-file-$i; i=$((i+1)); done`)
    const hashes = await hashBatch(access, await toolsOf(access), { root: Buffer.from(home), paths, signal: undefined })
    expect(hashes).toEqual(paths.map((_, index) => sha256Of(Buffer.from(`${index}\n`))))
  })

  it('is null for all where the host refuses, and rejects when the connection is lost or the signal aborts', async () => {
    const refusing = (code: 'CONNECTION_LOST' | 'CHANNEL_REFUSED') => localAccess({ home: '/', run: () => Promise.reject(remexError(code, 'no')) })
    const batch = { root: Buffer.from('/'), paths: [Buffer.from('a')], signal: undefined }
    expect(await hashBatch(refusing('CHANNEL_REFUSED'), GNU, batch)).toEqual([null])
    await expect(hashBatch(refusing('CONNECTION_LOST'), GNU, batch)).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
    const reason = remexError('CANCELLED', 'enough')
    await expect(hashBatch(localAccess({ home: '/' }), GNU, { ...batch, signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  })
})
