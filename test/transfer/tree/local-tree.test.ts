import { execFileSync } from 'node:child_process'
import { chmodSync, linkSync, mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { localTree } from '../../../src/transfer/tree/local-tree.ts'
import { scratch } from '../scratch.ts'

const ROOT = Buffer.alloc(0)
const isSuperuser = process.getuid?.() === 0

describe('localTree', () => {
  it('tells what is in a directory, in order, and follows no link', async () => {
    const root = await scratch()
    writeFileSync(join(root, 'file'), 'content', { mode: 0o640 })
    utimesSync(join(root, 'file'), 1_000_000_000.9, 1_000_000_000.9)
    mkdirSync(join(root, 'dir'), { mode: 0o750 })
    symlinkSync('/etc', join(root, 'dir.link'))
    execFileSync('mkfifo', [join(root, 'pipe')])
    const entries = await localTree(Buffer.from(root)).list(ROOT)
    expect(entries).toMatchObject([
      { name: Buffer.from('dir.link'), kind: 'symlink' },
      { name: Buffer.from('dir'), kind: 'directory', mode: 0o750 },
      { name: Buffer.from('file'), kind: 'file', sizeBytes: 7, mtime: 1_000_000_000, mode: 0o640 },
      { name: Buffer.from('pipe'), kind: 'other' },
    ])
  })

  it.each([
    ['a newline', Buffer.from('a\nb')],
    ['bytes that are not UTF-8', Buffer.from([0x61, 0xff, 0xfe])],
    ['every byte that a name can have', Buffer.from(Array.from({ length: 255 }, (_, index) => index + 1).filter((byte) => byte !== 0x2f))],
    ['a dash at its start', Buffer.from('-rf')],
  ])('keeps the bytes of a name with %s', async (_what, name) => {
    const root = await scratch()
    writeFileSync(Buffer.concat([Buffer.from(`${root}/`), name]), '')
    expect(await localTree(Buffer.from(root)).list(ROOT)).toMatchObject([{ name }])
  })

  it('follows a root that is a link, and says what it leads to', async () => {
    const root = await scratch()
    mkdirSync(join(root, 'real'), { mode: 0o700 })
    writeFileSync(join(root, 'real', 'file'), '')
    symlinkSync('real', join(root, 'link'))
    const tree = localTree(Buffer.from(join(root, 'link')))
    expect(await tree.root()).toMatchObject({ kind: 'directory', mode: 0o700, name: ROOT })
    expect(await tree.list(ROOT)).toMatchObject([{ name: Buffer.from('file') }])
  })

  it('lists below its root what has become a link since as little as what is a file', async () => {
    const root = await scratch()
    mkdirSync(join(root, 'real'))
    symlinkSync('real', join(root, 'link'))
    writeFileSync(join(root, 'file'), '')
    for (const name of ['link', 'file']) {
      await expect(localTree(Buffer.from(root)).list(Buffer.from(name))).rejects.toMatchObject({
        code: 'TRANSFER_FAILED',
        message: `the local ${root}/${name} is not a directory`,
      })
    }
  })

  it('tells nothing from an empty directory', async () => {
    const root = await scratch()
    const tree = localTree(Buffer.from(root))
    expect(await tree.list(ROOT)).toEqual([])
    expect(await tree.list(Buffer.from('none'))).toBeNull()
    const none = localTree(Buffer.from(join(root, 'none')))
    expect([await none.root(), await none.list(ROOT)]).toEqual([null, null])
  })

  it('rejects with USAGE for a root that is a file', async () => {
    const root = await scratch()
    writeFileSync(join(root, 'file'), '')
    await expect(localTree(Buffer.from(join(root, 'file'))).root()).rejects.toMatchObject({
      code: 'USAGE',
      message: `the local ${root}/file is not a directory`,
    })
  })

  it.skipIf(isSuperuser)('rejects with PERMISSION_DENIED for a directory that may not be read', async () => {
    const root = await scratch()
    mkdirSync(join(root, 'dir'))
    chmodSync(join(root, 'dir'), 0o000)
    await expect(localTree(Buffer.from(root)).list(Buffer.from('dir'))).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
  })

  it('rejects with the words of the system for a path that is too long', async () => {
    const root = await scratch()
    await expect(localTree(Buffer.from(root)).list(Buffer.alloc(300, 'a'))).rejects.toMatchObject({
      code: 'TRANSFER_FAILED',
      message: expect.stringContaining('ENAMETOOLONG'),
    })
  })

  it('leaves out what vanishes while it lists, and lets others have their turn', async () => {
    const root = await scratch()
    writeFileSync(join(root, 'file-0'), '')
    for (let index = 1; index < 8000; index += 1) linkSync(join(root, 'file-0'), join(root, `file-${index}`))
    setImmediate(() => rmSync(root, { recursive: true }))
    expect((await localTree(Buffer.from(root)).list(ROOT))?.length).toBeLessThan(8000)
  })

  it('says what a link says, byte by byte', async () => {
    const root = await scratch()
    const points = Buffer.from([0x61, 0x0a, 0xff])
    symlinkSync(points, join(root, 'link'))
    writeFileSync(join(root, 'file'), '')
    const tree = localTree(Buffer.from(root))
    expect(await tree.readlink(Buffer.from('link'))).toEqual(points)
    await expect(tree.readlink(Buffer.from('file'))).rejects.toMatchObject({ code: 'TRANSFER_FAILED' })
    await expect(tree.readlink(Buffer.from('none'))).rejects.toMatchObject({ code: 'LOCAL_NOT_FOUND' })
  })
})
