import { createHash, randomBytes } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { remexError } from '../../src/core/errors.ts'
import type { TransferAccess } from '../../src/transfer/access.ts'
import { checksumCommand, remoteSha256 } from '../../src/transfer/checksum.ts'
import { download } from '../../src/transfer/download.ts'
import { SftpClient } from '../../src/transfer/sftp/client.ts'
import { upload } from '../../src/transfer/upload.ts'
import { localAccess, sftpServerPath } from './local-access.ts'
import { leftovers, scratch } from './scratch.ts'

const CONTENT = 'checked\n'
const DIGEST = createHash('sha256').update(CONTENT).digest('hex')
const says =
  (exitCode: number, words: string): TransferAccess['run'] =>
  async () => ({ exitCode, stdout: Buffer.from(words), stderr: Buffer.alloc(0) })
const nothingElse = says(127, '')

/** Where a program of this machine is; undefined where there is none. */
function which(program: string): string | undefined {
  try {
    return execFileSync('/bin/sh', ['-c', 'command -v "$1"', 'sh', program]).toString().trim()
  } catch {
    return undefined
  }
}

/** A PATH that has these programs and no others. */
async function pathWith(home: string, programs: readonly string[]): Promise<string> {
  const bin = join(home, `bin-${randomBytes(4).toString('hex')}`)
  await mkdir(bin)
  for (const program of programs) await symlink(which(program) ?? '/nowhere', join(bin, program))
  return bin
}

/** A PATH whose only tool is a shell script called `name`. */
async function pathWithScript(home: string, name: string, body: string): Promise<string> {
  const bin = await pathWith(home, ['cat', 'env'])
  await writeFile(join(bin, name), `#!/bin/sh\n${body}\n`)
  await chmod(join(bin, name), 0o755)
  return bin
}

async function digestOn(home: string, access: TransferAccess, name: string | Buffer): Promise<string> {
  const sftp = await SftpClient.open(await access.sftp(), { vmId: 'vm01' })
  onTestFinished(() => sftp.end())
  const path = Buffer.concat([Buffer.from(`${home}/`), Buffer.from(name)])
  return remoteSha256({ access, sftp, signal: undefined }, { path, sizeBytes: CONTENT.length })
}

describe('checksumCommand', () => {
  it('is one shell text that tries each tool on the file as standard input', () => {
    expect(checksumCommand(Buffer.from('/srv/a b'))).toBe(
      `LC_ALL=C; export LC_ALL; f='/srv/a b'; ` +
        `for t in 'openssl dgst -sha256' sha256sum 'shasum -a 256' 'busybox sha256sum' sha256; do s=$($t 2>/dev/null <"$f") || continue; ` +
        's=${s##*= }; s=${s%% *}; case $s in *[!0-9a-f]*) continue;; esac; ' +
        'if [ ${#s} -eq 64 ]; then echo "remex-sha256 $s"; exit 0; fi; done; exit 1',
    )
  })

  it('is printable ASCII whatever the name is', () => {
    for (let byte = 1; byte < 256; byte += 1) {
      if (byte !== 0x2f) expect(checksumCommand(Buffer.from([0x61, byte]))).toMatch(/^[ -~]*$/)
    }
  })
})

describe.skipIf(sftpServerPath === undefined)('remoteSha256, on a real shell', () => {
  it.for(['openssl', 'sha256sum', 'shasum', 'busybox'])('uses %s where it is the only tool', async (program, { skip }) => {
    skip(which(program) === undefined, `there is no ${program} on this machine`)
    const home = await scratch()
    await writeFile(join(home, 'file'), CONTENT)
    const programs = program === 'shasum' ? ['shasum', 'perl', 'env'] : [program]
    const access = localAccess({ home, env: { PATH: await pathWith(home, programs) } })
    const { stdout, exitCode } = await access.run(checksumCommand(Buffer.from(join(home, 'file'))))
    expect([exitCode, stdout.toString()]).toEqual([0, `remex-sha256 ${DIGEST}\n`])
  })

  it('uses the sha256 of BSD, which prints the digest alone', async () => {
    const home = await scratch()
    await writeFile(join(home, 'file'), CONTENT)
    const access = localAccess({ home, env: { PATH: await pathWithScript(home, 'sha256', `cat >/dev/null; echo ${DIGEST}`) } })
    const { stdout } = await access.run(checksumCommand(Buffer.from(join(home, 'file'))))
    expect(stdout.toString()).toBe(`remex-sha256 ${DIGEST}\n`)
  })

  const badTools: [string, string][] = [
    ['prints nothing', 'exit 0'],
    ['prints white space', 'echo " "'],
    ['prints 63 digits', `echo ${'a'.repeat(63)}`],
    ['prints 65 digits', `echo ${'a'.repeat(65)}`],
    ['prints 64 letters that are no digits', `echo ${'g'.repeat(64)}`],
    ['prints capital digits', `echo ${'A'.repeat(64)}`],
    ['prints a digest and fails', `echo ${'a'.repeat(64)}; exit 1`],
    ['prints a digest on a second line', `echo warning; echo ${'a'.repeat(64)}`],
    ['prints shell syntax', String.raw`echo '$(touch owned); * ? [a]'`],
  ]
  it.each(badTools)('goes on to the next tool when one %s', async (_what, body) => {
    const home = await scratch()
    await writeFile(join(home, 'file'), CONTENT)
    const bin = await pathWithScript(home, 'openssl', body)
    await symlink(which('sha256sum') ?? '/nowhere', join(bin, 'sha256sum'))
    const { stdout } = await localAccess({ home, env: { PATH: bin } }).run(checksumCommand(Buffer.from(join(home, 'file'))))
    expect(stdout.toString()).toBe(`remex-sha256 ${DIGEST}\n`)
  })

  const noTools: [string, (home: string) => Promise<Partial<TransferAccess>>][] = [
    ['there is no tool at all', async (home) => localAccess({ home, env: { PATH: await pathWith(home, []) } })],
    ['there is no shell', async () => ({ run: nothingElse })],
    ['commands are refused', async () => ({ run: () => Promise.reject(remexError('CHANNEL_REFUSED', 'no')) })],
    ['every command succeeds and says nothing', async () => ({ run: says(0, '') })],
    ['a start-up file talks in place of the answer', async () => ({ run: says(0, 'remex-sha256 soon\n') })],
  ]
  it.each(noTools)('reads the file back over SFTP when %s', async (_what, make) => {
    const home = await scratch()
    await writeFile(join(home, 'file'), CONTENT)
    expect(await digestOn(home, { ...localAccess({ home }), ...(await make(home)) }, 'file')).toBe(DIGEST)
  })

  it('finds the answer among what a start-up file prints', async () => {
    const home = await scratch()
    await writeFile(join(home, 'file'), CONTENT)
    const access = localAccess({ home })
    const noisy: TransferAccess = { ...access, run: (command, options) => access.run(`echo Welcome; ${String(command)}`, options) }
    expect(await digestOn(home, noisy, 'file')).toBe(DIGEST)
  })

  it('is CHECKSUM_UNAVAILABLE when there is neither a tool nor a way to read the file back, never a pass', async () => {
    const home = await scratch()
    await writeFile(join(home, 'target'), 'old')
    const access = localAccess({ home, run: nothingElse, serverFlags: ['-P', 'read'] })
    const attempt = upload(access, { data: Buffer.from('new'), remotePath: 'target' })
    await expect(attempt).rejects.toMatchObject({ code: 'CHECKSUM_UNAVAILABLE', vmId: 'vm01' })
    expect(await readFile(join(home, 'target'), 'utf8')).toBe('old')
    expect(await leftovers(home)).toEqual([])
  })

  it('verifies an upload and a download on a host without any tool', async () => {
    const home = await scratch()
    const access = localAccess({ home, run: nothingElse })
    const data = randomBytes(600_000)
    expect(await upload(access, { data, remotePath: 'file' })).toMatchObject({ verified: true })
    expect(await download(access, { remotePath: 'file', localPath: join(home, 'back') })).toMatchObject({ verified: true })
    expect(data.equals(await readFile(join(home, 'back')))).toBe(true)
  })

  it('is a mismatch, and nothing is replaced, when the tool gives the digest of something else', async () => {
    const home = await scratch()
    await writeFile(join(home, 'target'), 'old')
    const access = localAccess({ home, run: says(0, `remex-sha256 ${'0'.repeat(64)}\n`) })
    for (const attempt of [
      () => upload(access, { data: Buffer.from('new'), remotePath: 'target' }),
      () => download(access, { remotePath: 'target', localPath: join(home, 'target') }),
    ]) {
      await expect(attempt()).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH', message: expect.stringContaining('0'.repeat(64)) })
    }
    expect(await readFile(join(home, 'target'), 'utf8')).toBe('old')
    expect(await leftovers(home)).toEqual([])
  })

  it('rejects with the signal’s reason, and does not read back, when it aborts during the command', async () => {
    const home = await scratch()
    await writeFile(join(home, 'file'), CONTENT)
    const controller = new AbortController()
    const reason = remexError('TIMED_OUT', 'the deadline passed')
    const access = localAccess({
      home,
      run: async () => {
        controller.abort(reason)
        throw new Error('something of the session')
      },
    })
    const sftp = await SftpClient.open(await access.sftp(), { vmId: 'vm01' })
    onTestFinished(() => sftp.end())
    const attempt = remoteSha256({ access, sftp, signal: controller.signal }, { path: Buffer.from(join(home, 'file')), sizeBytes: 1 })
    await expect(attempt).rejects.toBe(reason)
  })
})

/** Names that a file may have and that have broken other tools. */
const NAMES: [string, Buffer][] = [
  ['spaces', Buffer.from('  two  words ')],
  ['single and double quotes', Buffer.from(`it's "quoted"`)],
  ['a newline', Buffer.from('line\nbreak')],
  ['a newline at the end', Buffer.from('ends\n')],
  ['nothing but newlines', Buffer.from('\n\n')],
  ['a backslash, which sha256sum escapes', Buffer.from('back\\slash\\n')],
  ['a leading dash', Buffer.from('-x')],
  ['a dash alone', Buffer.from('-')],
  ['shell syntax', Buffer.from('$(touch owned);`id`&|<>*?[a]{b}!#~')],
  ['percent signs', Buffer.from('100%s%n\\101')],
  ['letters that are not ASCII', Buffer.from('zażółć 北京 🦊')],
  ['bytes that are not UTF-8', Buffer.from([0x66, 0xff, 0xfe, 0x80, 0x0a, 0x27, 0x25, 0x5c])],
  ['control characters', Buffer.from([0x01, 0x07, 0x1b, 0x5b, 0x32, 0x4a, 0x7f])],
  ['the most bytes that a name can have', Buffer.alloc(255, 0x6e)],
]

describe.skipIf(sftpServerPath === undefined)('a name with', () => {
  it.each(NAMES)('%s arrives as it is, up and down, and is verified by a tool on both ways', async (_what, name) => {
    const home = await scratch()
    const remote = Buffer.concat([Buffer.from(`${home}/up/`), name])
    await mkdir(join(home, 'up'))
    await mkdir(join(home, 'down'))
    const access = localAccess({ home, serverFlags: ['-P', 'read'] })
    expect(await upload(access, { data: Buffer.from(CONTENT), remotePath: remote })).toMatchObject({ verified: true, sha256: DIGEST })
    expect(await upload(access, { data: Buffer.from(CONTENT), remotePath: remote })).toMatchObject({ verified: true, sha256: DIGEST })
    expect(await readFile(remote, 'utf8')).toBe(CONTENT)
    const receipt = await download(localAccess({ home }), { remotePath: remote, localPath: join(home, 'down') })
    expect(receipt).toMatchObject({ verified: true, sha256: DIGEST })
    expect(await readFile(Buffer.concat([Buffer.from(`${home}/down/`), name]), 'utf8')).toBe(CONTENT)
    const back = await upload(access, { localPath: Buffer.concat([Buffer.from(`${home}/down/`), name]), remotePath: home })
    expect(back.verified).toBe(true)
    expect(await readFile(Buffer.concat([Buffer.from(`${home}/`), name]), 'utf8')).toBe(CONTENT)
  })
})
