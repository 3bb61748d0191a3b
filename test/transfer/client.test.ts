import { randomBytes } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { link, readFile, readlink, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { describe, expect, it, onTestFinished } from 'vitest'
import { remexError } from '../../src/core/errors.ts'
import type { Channel } from '../../src/transport/contract.ts'
import { PacketType, text, uint32 } from '../../src/transfer/sftp/codec.ts'
import { OpenFlag, SftpClient } from '../../src/transfer/sftp/client.ts'
import { childChannel, localAccess, sftpServerPath } from './local-access.ts'
import { framed, typeOf } from './relay.ts'
import { scratch } from './scratch.ts'
import { scriptedChannel, status } from './scripted-server.ts'
import type { ScriptedServer } from './scripted-server.ts'

const connect = async (channel: Channel, signal?: AbortSignal): Promise<SftpClient> => {
  const client = await SftpClient.open(channel, { vmId: 'vm01', signal })
  onTestFinished(() => client.end())
  return client
}

describe.skipIf(sftpServerPath === undefined)('SftpClient, against the real sftp-server', () => {
  const open = async (home: string, serverFlags: readonly string[] = []): Promise<SftpClient> =>
    connect(await localAccess({ home, serverFlags }).sftp())

  it('knows what OpenSSH offers and how much one request may carry', async () => {
    const client = await open(await scratch())
    expect(client.limits.maxReadBytes).toBe(32768)
    await client.realpath('.')
    expect(client.roundTripMs).toBeGreaterThan(0)
    expect(client.limits).toEqual({ maxReadBytes: 261120, maxWriteBytes: 261120, maxHandles: expect.any(Number) })
    expect(client.limits.maxHandles).toBeGreaterThan(16)
    for (const name of ['posix-rename', 'fsync', 'statvfs', 'hardlink', 'lsetstat', 'limits'] as const) expect(client.offers(name)).toBe(true)
  })

  it('takes what every server takes where there are no limits to ask for', async () => {
    const client = await open(await scratch(), ['-P', 'limits,fsync'])
    expect(client.limits).toEqual({ maxReadBytes: 32768, maxWriteBytes: 32768, maxHandles: 16 })
    expect(client.offers('fsync')).toBe(false)
  })

  it('writes, reads, and tells the end of a file from an empty answer', async () => {
    const client = await open(await scratch())
    const file = await client.open('file', OpenFlag.WRITE | OpenFlag.READ | OpenFlag.CREATE | OpenFlag.EXCLUSIVE, { mode: 0o600 })
    const large = randomBytes(100_000)
    await Promise.all([client.write(file, 5, large), client.write(file, 0, Buffer.from('small'))])
    await client.fsync(file)
    expect((await client.read(file, 0, 5))?.toString()).toBe('small')
    expect(large.equals((await client.read(file, 5, 200_000)) ?? Buffer.alloc(0))).toBe(true)
    expect(await client.read(file, 100_005, 10)).toBeNull()
    expect(await client.fstat(file)).toMatchObject({ sizeBytes: 100_005, mode: 0o100600 })
    await client.close(file)
    const again = client.open('file', OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.EXCLUSIVE)
    await expect(again).rejects.toMatchObject({ code: 'TRANSFER_FAILED' })
  })

  it('sets attributes, by name and by handle', async () => {
    const home = await scratch()
    const client = await open(home)
    await writeFile(join(home, 'file'), 'content')
    const file = await client.open('file', OpenFlag.WRITE)
    await client.fsetstat(file, { sizeBytes: 3 })
    await client.setstat('file', { mode: 0o640, atime: 1000, mtime: 2000 })
    expect(await stat(join(home, 'file'))).toMatchObject({ mode: 0o100640, mtimeMs: 2_000_000, size: 3 })
  })

  it('makes, lists and removes directories', async () => {
    const home = await scratch()
    const client = await open(home)
    await client.mkdir('sub', { mode: 0o700 })
    for (let index = 0; index < 250; index += 1) await writeFile(join(home, 'sub', `file-${index}`), '')
    const directory = await client.opendir('sub')
    const names: string[] = []
    for (let batch = await client.readdir(directory); batch !== null; batch = await client.readdir(directory)) {
      names.push(...batch.map(({ name }) => name.toString()))
    }
    await client.close(directory)
    expect(names).toHaveLength(252)
    execFileSync('find', [join(home, 'sub'), '-type', 'f', '-delete'])
    await client.rmdir('sub')
    await expect(client.stat('sub')).rejects.toMatchObject({ code: 'REMOTE_NOT_FOUND' })
  })

  it('makes links that say what was meant, in the order that OpenSSH wants', async () => {
    const home = await scratch()
    const client = await open(home)
    await client.symlink('points/here', 'link')
    expect(await readlink(join(home, 'link'))).toBe('points/here')
    expect((await client.readlink('link')).toString()).toBe('points/here')
    expect((await client.lstat('link')).mode).toBe(0o120777)
    await writeFile(join(home, 'file'), '')
    await client.hardlink('file', 'second')
    expect((await stat(join(home, 'file'))).nlink).toBe(2)
  })

  it('sets the times of a link itself', async () => {
    const home = await scratch()
    const client = await open(home)
    await writeFile(join(home, 'file'), '')
    await client.symlink('file', 'link')
    await client.lsetstat('link', { atime: 1000, mtime: 2000 })
    expect((await client.lstat('link')).mtime).toBe(2000)
    expect((await client.stat('link')).mtime).toBeGreaterThan(2000)
  })

  it('copies from one file to another on the host, where it offers to', async ({ skip }) => {
    const home = await scratch()
    const client = await open(home)
    skip(!client.offers('copy-data'), 'this sftp-server is older than copy-data')
    const content = randomBytes(300_000)
    await writeFile(join(home, 'from'), content)
    const from = await client.open('from', OpenFlag.READ)
    const to = await client.open('to', OpenFlag.WRITE | OpenFlag.CREATE)
    await client.copyData({ file: from, offset: 1000 }, 200_000, { file: to, offset: 5 })
    expect((await readFile(join(home, 'to'))).subarray(5).equals(content.subarray(1000, 201_000))).toBe(true)
    // Nothing tells that there was less to copy.
    await client.copyData({ file: from, offset: 299_999 }, 2, { file: to, offset: 200_005 })
    expect((await client.fstat(to)).sizeBytes).toBe(200_006)
    await expect(client.copyData({ file: to, offset: 0 }, 1, { file: to, offset: 0 })).rejects.toMatchObject({ code: 'TRANSFER_FAILED' })
    await expect(client.copyData({ file: from, offset: 0 }, 0, { file: to, offset: 0 })).rejects.toMatchObject({ code: 'INTERNAL' })
  })

  it('renames, refusing or replacing what is there as asked', async () => {
    const home = await scratch()
    const client = await open(home)
    await writeFile(join(home, 'one'), '1')
    await writeFile(join(home, 'two'), '2')
    await expect(client.rename('one', 'two')).rejects.toMatchObject({ code: 'TRANSFER_FAILED' })
    await client.posixRename('one', 'two')
    expect(await readFile(join(home, 'two'), 'utf8')).toBe('1')
    await client.rename('two', 'three')
    await client.remove('three')
    await expect(client.remove('three')).rejects.toMatchObject({ code: 'REMOTE_NOT_FOUND' })
  })

  it('resolves paths and tells free space', async () => {
    const home = await scratch()
    const client = await open(home)
    expect((await client.realpath('.')).toString()).toBe(home)
    const space = await client.statvfs('.')
    expect(space.freeBytes).toBeGreaterThan(0)
    expect(space.totalBytes).toBeGreaterThanOrEqual(space.freeBytes)
  })

  it('keeps a thousand requests apart that were asked at once', async () => {
    const home = await scratch()
    const client = await open(home)
    await Promise.all(Array.from({ length: 20 }, (_, index) => writeFile(join(home, `f${index}`), 'x'.repeat(index))))
    const sizes = await Promise.all(Array.from({ length: 1000 }, async (_, index) => (await client.stat(`f${index % 20}`)).sizeBytes))
    expect(sizes).toEqual(Array.from({ length: 1000 }, (_, index) => index % 20))
  })

  it('says which host, what, which file and why, with nothing that could move the cursor', async () => {
    const client = await open(await scratch())
    await expect(client.open('no\nsuch\x1b[2Jfile', OpenFlag.READ)).rejects.toMatchObject({
      code: 'REMOTE_NOT_FOUND',
      vmId: 'vm01',
      message: String.raw`vm01: cannot open no\nsuch\x1b[2Jfile: No such file`,
    })
  })

  it('takes names of any bytes, and refuses only what no file can be called', async () => {
    const home = await scratch()
    const client = await open(home)
    const name = Buffer.from([0xff, 0xfe, 0x0a, 0x20, 0x5c, 0x27])
    await client.close(await client.open(name, OpenFlag.WRITE | OpenFlag.CREATE))
    await link(Buffer.concat([Buffer.from(`${home}/`), name]), join(home, 'found'))
    await expect(client.stat('')).rejects.toMatchObject({ code: 'USAGE' })
    await expect(client.stat('a\0b')).rejects.toMatchObject({ code: 'USAGE' })
  })
})

describe('SftpClient, against servers that misbehave', () => {
  const openFile = (request: Buffer, server: ScriptedServer): boolean => {
    if (typeOf(request) === PacketType.OPEN) server.answer(request, PacketType.HANDLE, text('h'))
    return typeOf(request) === PacketType.OPEN
  }

  const strayId = Buffer.concat([Buffer.from([0]), uint32(99_999)])
  const broken: [string, (request: Buffer, server: ScriptedServer) => void][] = [
    ['sends text in place of packets', (_request, server) => server.raw(Buffer.from('Last login: yesterday\n'))],
    ['announces a packet of 4 GiB', (_request, server) => server.raw(Buffer.alloc(8, 0xff))],
    ['announces a packet of no bytes', (_request, server) => server.raw(uint32(0))],
    ['answers a request that was not made', (_request, server) => server.answer(strayId, 101, status(0))],
    ['answers twice', (request, server) => [1, 2].forEach(() => server.answer(request, PacketType.DATA, text('x')))],
    ['answers with another type', (request, server) => server.answer(request, PacketType.HANDLE, text('h'))],
    ['answers with an unknown type', (request, server) => server.answer(request, 77)],
    ['says OK where data was asked for', (request, server) => server.answer(request, PacketType.STATUS, status(0))],
    ['sends more data than was asked for', (request, server) => server.answer(request, PacketType.DATA, text(Buffer.alloc(101)))],
    ['sends data of no bytes for ever', (request, server) => server.answer(request, PacketType.DATA, text(''))],
    ['sends a string longer than its packet', (request, server) => server.answer(request, PacketType.DATA, uint32(90), Buffer.alloc(10))],
    ['sends a packet with no request id', (_request, server) => server.raw(framed(Buffer.from([103])))],
    ['greets a second time', (_request, server) => server.raw(framed(Buffer.concat([Buffer.from([2]), uint32(3)])))],
  ]
  it.each(broken)('rejects all that is outstanding, and all that comes after, when one %s', async (_what, misbehave) => {
    const client = await connect(scriptedChannel((request, server) => openFile(request, server) || misbehave(request, server)))
    const file = await client.open('file', OpenFlag.READ)
    const outcomes = await Promise.allSettled([client.read(file, 0, 100), client.read(file, 100, 100), client.stat('x')])
    const words: unknown = expect.stringMatching(/^vm01: the server broke the SFTP protocol/)
    expect(outcomes.at(-1)).toMatchObject({ status: 'rejected', reason: { code: 'TRANSFER_FAILED', message: words } })
    expect(outcomes.filter(({ status: how }) => how === 'rejected').length).toBeGreaterThanOrEqual(2)
    await expect(client.stat('x')).rejects.toMatchObject({ code: 'TRANSFER_FAILED' })
    expect(client.isEnded).toBe(true)
  })

  it('refuses a handle longer than the draft allows', async () => {
    const client = await connect(scriptedChannel((request, server) => server.answer(request, PacketType.HANDLE, text(Buffer.alloc(257)))))
    await expect(client.open('file', OpenFlag.READ)).rejects.toMatchObject({ code: 'TRANSFER_FAILED' })
  })

  it('puts answers that come in reverse to the requests they belong to', async () => {
    const waiting: Buffer[] = []
    const channel = scriptedChannel((request, server) => {
      if (openFile(request, server)) return
      waiting.push(request)
      if (waiting.length < 10) return
      // The offset stands behind type, id and the handle 'h'.
      for (const read of waiting.splice(0).reverse()) server.answer(read, PacketType.DATA, text(String(read.readBigUInt64BE(10))))
    })
    const client = await connect(channel)
    const file = await client.open('file', OpenFlag.READ)
    const answers = await Promise.all(Array.from({ length: 10 }, (_, offset) => client.read(file, offset, 100)))
    expect(answers.map(String)).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
  })

  it('rejects everything with CONNECTION_LOST, which never means a command ran, when the channel closes', async () => {
    const client = await connect(scriptedChannel((request, server) => openFile(request, server) || server.hangUp()))
    const file = await client.open('file', OpenFlag.READ)
    const lost = { status: 'rejected', reason: { code: 'CONNECTION_LOST', vmId: 'vm01', mayHaveRun: false } }
    expect(await Promise.allSettled([client.read(file, 0, 1), client.stat('x'), client.close(file)])).toMatchObject([lost, lost, lost])
    await expect(client.stat('x')).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
  })

  it('rejects what waits for its turn too: 500 requests to a server that hangs up', async () => {
    let seen = 0
    const client = await connect(
      scriptedChannel((_request, server) => {
        seen += 1
        if (seen === 100) server.hangUp()
      }),
    )
    const outcomes = await Promise.allSettled(Array.from({ length: 500 }, () => client.stat('x')))
    expect(outcomes.every((outcome) => outcome.status === 'rejected')).toBe(true)
  })

  it('sends no more than 128 requests ahead, and the others as answers come', async () => {
    const waiting: Buffer[] = []
    let most = 0
    let answered = 0
    const channel = scriptedChannel((request, server) => {
      waiting.push(request)
      most = Math.max(most, waiting.length)
      if (waiting.length < 128 && answered + waiting.length < 400) return
      for (const one of waiting.splice(0)) {
        answered += 1
        server.answer(one, PacketType.ATTRS, uint32(0))
      }
    })
    const client = await connect(channel)
    await Promise.all(Array.from({ length: 400 }, () => client.stat('x')))
    expect(most).toBe(128)
  })

  it('rejects with the very reason of its signal while a server never answers, and forgets the answer when it comes', async () => {
    let late = (): void => undefined
    const channel = scriptedChannel((request, server) => {
      if (typeOf(request) === PacketType.STAT) late = () => server.answer(request, PacketType.ATTRS, uint32(0))
      else server.answer(request, PacketType.STATUS, status(0))
    })
    const client = await connect(channel)
    const controller = new AbortController()
    const reason = remexError('TIMED_OUT', 'the deadline passed')
    const asked = [client.under(controller.signal).stat('x'), client.under(controller.signal).stat('y')]
    controller.abort(reason)
    expect(await Promise.allSettled(asked)).toMatchObject([{ reason }, { reason }])
    await expect(client.under(controller.signal).stat('z')).rejects.toBe(reason)
    late()
    await client.remove('still usable')
    expect(client.isEnded).toBe(false)
  })

  it('turns a foreign reason into CANCELLED, and a time limit into TIMED_OUT', async () => {
    const client = await connect(scriptedChannel(() => undefined))
    await expect(client.under(AbortSignal.abort()).stat('x')).rejects.toMatchObject({ code: 'CANCELLED' })
    await expect(client.under(AbortSignal.timeout(1)).stat('x')).rejects.toMatchObject({ code: 'TIMED_OUT' })
  })

  it('leaves no listener on a signal that outlives it', async () => {
    const warnings: Error[] = []
    const listen = (warning: Error): number => warnings.push(warning)
    process.on('warning', listen)
    onTestFinished(() => void process.off('warning', listen))
    const { signal } = new AbortController()
    for (let round = 0; round < 30; round += 1) {
      const channel = scriptedChannel((request, server) => server.answer(request, PacketType.ATTRS, uint32(0)))
      const client = await SftpClient.open(channel, { vmId: 'vm01', signal })
      await Promise.all(Array.from({ length: 30 }, () => client.stat('x')))
      client.end()
    }
    await new Promise(setImmediate)
    expect(warnings.map(String)).toEqual([])
  })

  it.each([
    [3, 'PERMISSION_DENIED', 'denied by me'],
    [2, 'REMOTE_NOT_FOUND', 'denied by me'],
    [4, 'TRANSFER_FAILED', 'denied by me'],
    [8, 'TRANSFER_FAILED', ''],
    [4_000_000_000, 'TRANSFER_FAILED', '\x1b]0;title\x07'],
    [1, 'TRANSFER_FAILED', 'end of file where there is none'],
  ])('makes status %d a %s with the words of the server in printable form', async (code, expected, words) => {
    const client = await connect(scriptedChannel((request, server) => server.answer(request, PacketType.STATUS, status(code, words))))
    const error: unknown = await client.stat('/etc/shadow').catch((caught: unknown) => caught)
    expect(error).toMatchObject({ code: expected, message: expect.stringMatching(/^vm01: cannot look at \/etc\/shadow: [ -~]+$/) })
  })

  it('cuts the words of a server that talks too much', async () => {
    const long = status(4, 'x'.repeat(100_000))
    const client = await connect(scriptedChannel((request, server) => server.answer(request, PacketType.STATUS, long)))
    const error = await client.stat('a').catch((caught: unknown) => caught)
    expect(String(error).length).toBeLessThan(400)
  })
})

describe('SftpClient.open', () => {
  it('gives up on a server that never greets, closes the channel, and says so', async () => {
    const channel = scriptedChannel(() => undefined, false)
    await expect(SftpClient.open(channel, { vmId: 'vm01', timeoutMs: 30 })).rejects.toMatchObject({
      code: 'CONNECT_TIMEOUT',
      message: 'vm01: the SFTP server said nothing for 0.03 s',
    })
    await channel.closed
  })

  it('goes on with the limits of the draft while a server does not tell the ones it offered', async () => {
    const greeting = framed(Buffer.concat([Buffer.from([2]), uint32(3), text('limits@openssh.com'), text('1')]))
    const channel = scriptedChannel((request, server) => {
      if (typeOf(request) === 1) server.raw(greeting)
      else if (typeOf(request) !== PacketType.EXTENDED) server.answer(request, PacketType.STATUS, status(2))
    }, false)
    const client = await connect(channel)
    await expect(client.stat('x')).rejects.toMatchObject({ code: 'REMOTE_NOT_FOUND' })
    expect(client.limits.maxReadBytes).toBe(32768)
  })

  it('goes on with the limits of the draft when a server offers to tell its own and then refuses', async () => {
    const greeting = framed(Buffer.concat([Buffer.from([2]), uint32(3), text('limits@openssh.com'), text('1')]))
    const channel = scriptedChannel((request, server) => {
      if (typeOf(request) === 1) server.raw(greeting)
      else server.answer(request, PacketType.STATUS, status(8))
    }, false)
    expect((await connect(channel)).limits.maxReadBytes).toBe(32768)
  })

  it.each([
    ['another version', framed(Buffer.concat([Buffer.from([2]), uint32(6)])), /speaks SFTP version 6/],
    ['text of a shell start-up file', Buffer.from('Welcome to vm01!\n'), /broke the SFTP protocol/],
    ['an answer before its greeting', framed(Buffer.concat([Buffer.from([101]), uint32(0), status(0)])), /broke the SFTP protocol/],
    ['half an extension', framed(Buffer.concat([Buffer.from([2]), uint32(3), text('a@b')])), /broke the SFTP protocol/],
  ])('rejects a server that sends %s, with a hint what it may be', async (_what, greeting, words) => {
    const channel = scriptedChannel((_request, server) => server.raw(greeting), false)
    await expect(SftpClient.open(channel, { vmId: 'vm01' })).rejects.toMatchObject({
      code: 'TRANSFER_FAILED',
      message: expect.stringMatching(words),
      hint: expect.stringContaining('start-up file'),
    })
    await channel.closed
  })

  it('tells a server program that is not there from a broken connection', async () => {
    const home = await scratch()
    const channel = childChannel(['/bin/sh', '-c', 'exec /no/such/sftp-server'], home)
    await expect(SftpClient.open(channel, { vmId: 'vm01' })).rejects.toMatchObject({
      code: 'TRANSFER_FAILED',
      message: expect.stringMatching(/ended before it said anything \(exit status 127\)/),
    })
  })

  it('rejects with CONNECTION_LOST when the channel closes without a word', async () => {
    const channel = scriptedChannel((_request, server) => server.hangUp(), false)
    await expect(SftpClient.open(channel, { vmId: 'vm01' })).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
  })

  it('works when every byte comes alone', async ({ skip }) => {
    skip(sftpServerPath === undefined, 'no sftp-server here')
    const inner = await localAccess({ home: await scratch() }).sftp()
    const stdout = new PassThrough()
    inner.stdout.on('data', (chunk: Buffer) => chunk.forEach((byte) => stdout.write(Buffer.from([byte]))))
    const client = await connect({ ...inner, stdout })
    expect((await client.stat('/')).mode).toBeGreaterThan(0o040000)
    expect(client.limits.maxReadBytes).toBe(261120)
  })
})
