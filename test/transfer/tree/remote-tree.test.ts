import { mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { remexError } from '../../../src/core/errors.ts'
import type { Channel } from '../../../src/transport/contract.ts'
import type { FileAttributes } from '../../../src/transfer/sftp/attributes.ts'
import { SftpClient } from '../../../src/transfer/sftp/client.ts'
import { PacketType, text, uint32 } from '../../../src/transfer/sftp/codec.ts'
import { localTree } from '../../../src/transfer/tree/local-tree.ts'
import { remoteTree } from '../../../src/transfer/tree/remote-tree.ts'
import type { RootedTree } from '../../../src/transfer/tree/listing.ts'
import { localAccess, sftpServerPath } from '../local-access.ts'
import { relayed, typeOf } from '../relay.ts'
import { scratch } from '../scratch.ts'
import { encodeNames, scriptedChannel, status } from '../scripted-server.ts'
import type { ScriptedServer } from '../scripted-server.ts'

const ROOT = Buffer.alloc(0)

const connect = async (channel: Channel): Promise<SftpClient> => {
  const client = await SftpClient.open(channel, { vmId: 'vm01' })
  onTestFinished(() => client.end())
  return client
}

describe.skipIf(sftpServerPath === undefined)('remoteTree, against the real sftp-server', () => {
  const open = async (root: string, wrap?: (channel: Channel) => Channel): Promise<RootedTree> =>
    remoteTree(await connect(await localAccess({ home: '/', wrap }).sftp()), Buffer.from(root))

  it('tells the same as the file system itself, in the same order, whatever the names', async () => {
    const root = await scratch()
    mkdirSync(join(root, 'a'), { mode: 0o750 })
    symlinkSync('/etc', join(root, 'a.link'))
    writeFileSync(join(root, 'a.file'), 'content', { mode: 0o640 })
    utimesSync(join(root, 'a.file'), 1_000_000_000.9, 1_000_000_000.9)
    for (const name of [Buffer.from('a\nb'), Buffer.from([0x61, 0xff, 0xfe]), Buffer.from('-rf')]) {
      writeFileSync(Buffer.concat([Buffer.from(`${root}/`), name]), '')
    }
    const [remote, local] = [await (await open(root)).list(ROOT), await localTree(Buffer.from(root)).list(ROOT)]
    expect(remote).toHaveLength(6)
    expect(remote).toEqual(local)
  })

  it('lists thousands of names, several requests at a time, and none twice', async () => {
    const root = await scratch()
    for (let index = 0; index < 1200; index += 1) writeFileSync(join(root, `file-${index}`), '')
    expect(await (await open(root)).list(ROOT)).toHaveLength(1200)
  })

  it('loses no name when the answers come late and in reverse', async () => {
    const root = await scratch()
    for (let index = 0; index < 1050; index += 1) writeFileSync(join(root, `file-${index}`), '')
    let held: Buffer[] = []
    const wrap = (channel: Channel): Channel => relayed(channel, {
      onReply: (packet, relay) => {
        if (typeOf(packet) !== PacketType.NAME && typeOf(packet) !== PacketType.STATUS) return [packet]
        if (held.length === 0) setImmediate(() => {
          for (const one of held.reverse()) relay.reply(one)
          held = []
        })
        held.push(packet)
        return []
      },
    })
    expect(await (await open(root, wrap)).list(ROOT)).toHaveLength(1050)
  })

  it('tells nothing from an empty directory', async () => {
    const root = await scratch()
    const tree = await open(root)
    expect(await tree.list(ROOT)).toEqual([])
    expect(await tree.list(Buffer.from('none'))).toBeNull()
    const none = await open(join(root, 'none'))
    expect([await none.root(), await none.list(ROOT)]).toEqual([null, null])
  })

  it('follows a root that is a link, and below it lists what has become a link as little as a file', async () => {
    const root = await scratch()
    mkdirSync(join(root, 'real'), { mode: 0o700 })
    mkdirSync(join(root, 'real', 'inner'))
    symlinkSync('inner', join(root, 'real', 'link'))
    writeFileSync(join(root, 'real', 'file'), '')
    symlinkSync('real', join(root, 'root'))
    const tree = await open(join(root, 'root'))
    expect(await tree.root()).toMatchObject({ kind: 'directory', mode: 0o700, name: ROOT })
    expect(await tree.list(ROOT)).toHaveLength(3)
    for (const name of ['link', 'file']) {
      await expect(tree.list(Buffer.from(name))).rejects.toMatchObject({
        code: 'TRANSFER_FAILED',
        message: `vm01: ${root}/root/${name} is not a directory`,
      })
    }
  })

  it('rejects with USAGE for a root that is a file', async () => {
    const root = await scratch()
    writeFileSync(join(root, 'file'), '')
    await expect((await open(join(root, 'file'))).root()).rejects.toMatchObject({ code: 'USAGE', message: `vm01: ${root}/file is not a directory` })
  })

  it('says what a link says, byte by byte', async () => {
    const root = await scratch()
    const points = Buffer.from([0x61, 0x0a, 0xff])
    symlinkSync(points, join(root, 'link'))
    expect(await (await open(root)).readlink(Buffer.from('link'))).toEqual(points)
  })

  it('closes every directory that it opens', async () => {
    const root = await scratch()
    mkdirSync(join(root, 'dir'))
    symlinkSync('dir', join(root, 'link'))
    const counts = new Map<number, number>()
    const wrap = (channel: Channel): Channel => relayed(channel, {
      onRequest: (packet) => {
        counts.set(typeOf(packet), (counts.get(typeOf(packet)) ?? 0) + 1)
        return [packet]
      },
    })
    const sftp = await connect(await localAccess({ home: root, wrap }).sftp())
    const tree = remoteTree(sftp, Buffer.from(root))
    await tree.list(ROOT)
    await tree.list(Buffer.from('dir'))
    await expect(tree.list(Buffer.from('link'))).rejects.toThrow()
    await sftp.lstat(root)
    expect(counts.get(PacketType.CLOSE)).toBe(3)
    expect(counts.get(PacketType.OPENDIR)).toBe(3)
  })
})

const FILE: FileAttributes = { sizeBytes: 1, mode: 0o100644, atime: 5, mtime: 5 }

/** A server whose only directory is `/tree`; `list` answers each request for names, `look` each for attributes. */
const hostile = async (
  list: (request: Buffer, server: ScriptedServer) => void,
  look: (request: Buffer, server: ScriptedServer) => void = (request, server) => server.answer(request, PacketType.STATUS, status(2)),
): Promise<RootedTree> => {
  const channel = scriptedChannel((request, server) => {
    if (typeOf(request) === PacketType.OPENDIR) server.answer(request, PacketType.HANDLE, text('h'))
    else if (typeOf(request) === PacketType.READDIR) list(request, server)
    else if (typeOf(request) === PacketType.LSTAT) look(request, server)
    else server.answer(request, PacketType.STATUS, status(0))
  })
  return remoteTree(await connect(channel), Buffer.from('/tree'))
}

/** Answers with each of `batches` in turn, then the end. */
const inBatches = (...batches: readonly (string | Buffer)[][]): ((request: Buffer, server: ScriptedServer) => void) => {
  const left = [...batches]
  return (request, server) => {
    const batch = left.shift()
    const entries = batch?.map((name) => ({ name: Buffer.from(name), attributes: FILE }))
    if (entries === undefined) server.answer(request, PacketType.STATUS, status(1))
    else server.answer(request, PacketType.NAME, encodeNames(entries))
  }
}

/** Answers without an end, each time what `batch` makes of the count so far. */
const endless = (batch: (count: number) => string[]): ((request: Buffer, server: ScriptedServer) => void) => {
  let count = 0
  return (request, server) => {
    const entries = batch(count).map((name) => ({ name: Buffer.from(name), attributes: FILE }))
    count += 1
    setImmediate(() => server.answer(request, PacketType.NAME, encodeNames(entries)))
  }
}

/** Answers with new names without an end, as many as a packet holds. */
const endlessNames = (): ((request: Buffer, server: ScriptedServer) => void) => {
  const entry = Buffer.concat([text('00000000'), text(''), uint32(0)])
  const perAnswer = 12_000
  let count = 0
  return (request, server) => {
    const entries = Buffer.alloc(entry.length * perAnswer, entry)
    for (let index = 0; index < perAnswer; index += 1, count += 1) entries.write(String(count).padStart(8, '0'), index * entry.length + 4)
    setImmediate(() => server.answer(request, PacketType.NAME, uint32(perAnswer), entries))
  }
}

describe('remoteTree, against a server that lies', () => {
  it.each([
    ['a name that leads out of the tree', inBatches(['a', '../../etc/passwd']), /the name \.\.\/\.\.\/etc\/passwd$/],
    ['a name with a slash', inBatches(['a/b']), /the name a\/b$/],
    ['an empty name', inBatches(['a'], ['']), /an empty name$/],
    ['a name with a NUL', inBatches(['a\0b']), /the name a\\x00b$/],
    ['a name twice in one answer', inBatches(['a', 'a']), /the name a twice$/],
    ['a name twice in two answers', inBatches(['a'], ['b'], ['a']), /the name a twice$/],
    ['a name that would move the cursor', inBatches(['\x1b[2J/']), /the name \\x1b\[2J\/$/],
    ['a name too long for any path', inBatches(['a'.repeat(4092)]), /a path longer than 4096 bytes$/],
    ['empty answers without an end', endless(() => []), /it has no end$/],
    ['the same answer without an end', endless(() => ['a']), /the name a twice$/],
    ['the two dots without an end', endless(() => ['.', '..']), /it has no end$/],
    ['names without an end', endlessNames(), /more than 1000000 names$/],
  ])('rejects with TRANSFER_FAILED naming the directory for %s', async (_what, list, words) => {
    const error: unknown = await (await hostile(list)).list(ROOT).catch((caught: unknown) => caught)
    expect(error).toMatchObject({ code: 'TRANSFER_FAILED', vmId: 'vm01', message: expect.stringMatching(words) })
    expect(error).toMatchObject({ message: expect.stringMatching(/^vm01: the list of the directory \/tree cannot be used: /) })
  }, 30_000)

  it('skips the two dots, and takes a list that only starts with them', async () => {
    const entries = await (await hostile(inBatches(['.'], ['..'], ['b', 'a']))).list(ROOT)
    expect(entries).toMatchObject([{ name: Buffer.from('a') }, { name: Buffer.from('b') }])
  })

  it('takes a path of 4096 bytes', async () => {
    expect(await (await hostile(inBatches(['a'.repeat(4090)]))).list(ROOT)).toHaveLength(1)
  })

  it('takes names that come after the end, from a server that works on several requests at once', async () => {
    let count = 0
    const tree = await hostile((request, server) => {
      count += 1
      if (count === 1) server.answer(request, PacketType.STATUS, status(1))
      else if (count === 2) server.answer(request, PacketType.NAME, encodeNames([{ name: Buffer.from('late'), attributes: FILE }]))
      else server.answer(request, PacketType.STATUS, status(4))
    })
    expect(await tree.list(ROOT)).toMatchObject([{ name: Buffer.from('late') }])
  })

  it('tells no list at all when the connection breaks after the end, before all answers are there', async () => {
    let count = 0
    const late = await hostile((request, server) => {
      count += 1
      if (count === 1) server.answer(request, PacketType.STATUS, status(1))
      else server.hangUp()
    })
    await expect(late.list(ROOT)).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
  })

  it.each([
    ['size', { mode: 0o100644, atime: 5, mtime: 5 }],
    ['time', { mode: 0o100644, sizeBytes: 1 }],
    ['kind', { sizeBytes: 1, atime: 5, mtime: 5 }],
    ['kind but not the permissions', { sizeBytes: 1, atime: 5, mtime: 5, mode: 0o644 }],
    ['attributes', {}],
  ])('asks for what a server leaves out of a list: the %s', async (_what, attributes) => {
    const looked: string[] = []
    let isAtEnd = false
    const tree = await hostile((request, server) => {
      const entries = ['there', 'gone'].map((name) => ({ name: Buffer.from(name), attributes }))
      if (isAtEnd) server.answer(request, PacketType.STATUS, status(1))
      else server.answer(request, PacketType.NAME, encodeNames(entries))
      isAtEnd = true
    }, (request, server) => {
      const path = request.subarray(9).toString()
      looked.push(path)
      if (path === '/tree/gone') server.answer(request, PacketType.STATUS, status(2))
      // Flags for size, mode and times.
      else server.answer(request, PacketType.ATTRS, uint32(0xd), uint32(0), uint32(7), uint32(0o100600), uint32(8), uint32(8))
    })
    expect(await tree.list(ROOT)).toEqual([{ name: Buffer.from('there'), kind: 'file', sizeBytes: 7, mtime: 8, mode: 0o600 }])
    expect(looked.sort()).toEqual(['/tree/gone', '/tree/there'])
  })

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['a NUL', Buffer.from('a\0b')],
    ['more than a path can hold', Buffer.alloc(4097, 'a')],
  ])('rejects with TRANSFER_FAILED for a link that says %s', async (_what, points) => {
    const names = encodeNames([{ name: points, attributes: {} }])
    const channel = scriptedChannel((request, server) => server.answer(request, PacketType.NAME, names))
    const tree = remoteTree(await connect(channel), Buffer.from('/tree'))
    await expect(tree.readlink(Buffer.from('link'))).rejects.toMatchObject({
      code: 'TRANSFER_FAILED',
      message: 'vm01: the link /tree/link says what no link can say',
    })
  })

  it('rejects with the reason of its signal while a server never answers', async () => {
    const controller = new AbortController()
    const reason = remexError('TIMED_OUT', 'the deadline passed')
    const sftp = await connect(scriptedChannel(() => undefined))
    const listed = remoteTree(sftp.under(controller.signal), Buffer.from('/tree')).list(Buffer.from('dir'))
    controller.abort(reason)
    await expect(listed).rejects.toBe(reason)
  })

  it('tells each name once or rejects, whatever the names are', async () => {
    const name = fc.oneof(fc.constantFrom('.', '..', 'a', 'b', '', 'a/b', 'c\0'), fc.string({ maxLength: 5 })).map((one) => Buffer.from(one))
    await fc.assert(fc.asyncProperty(fc.array(fc.array(name, { maxLength: 4 }), { maxLength: 4 }), async (batches) => {
      const entries = await (await hostile(inBatches(...batches))).list(ROOT).catch(() => null)
      const told = entries?.map((entry) => entry.name.toString('latin1')) ?? []
      expect(new Set(told).size).toBe(told.length)
      expect(told.filter((one) => ['', '.', '..'].includes(one) || /[/\0]/.test(one))).toEqual([])
    }), { numRuns: 100 })
  })
})
