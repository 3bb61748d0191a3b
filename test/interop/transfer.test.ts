import { createHash, randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RemexError } from '../../src/core/errors.ts'
import type { Host } from '../../src/fleet/host.ts'
import { fingerprint } from '../../src/core/host-key.ts'
import { startOpensshServer, type OpensshServer } from '../../testkit/openssh-server.ts'
import { fleetOf, type TestFleet } from './fleet-of.ts'

const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex')

const failureOf = async (work: Promise<unknown>): Promise<RemexError> => {
  const outcome: unknown = await work.catch((error: unknown) => error)
  expect(outcome).toBeInstanceOf(Error)
  return outcome as RemexError
}

/** What is in a directory of the host, also hidden. */
const namesIn = async (host: Host, directory: string): Promise<string[]> =>
  (await host.run(['ls', '-A', directory])).stdout.split('\n').filter(Boolean)

const NAMES: readonly (readonly [string, string])[] = [
  ['spaces', 'a b  c'],
  ['quotes', `it's "quoted" \`x\` $HOME \\`],
  ['a newline', 'two\nlines'],
  ['a leading dash', '-rf'],
  ['letters beyond ASCII', 'größe-日本.txt'],
  ['shell patterns', '*?[a]{b}~#'],
]

describe.each(['internal', 'external'] as const)('with sshd and its %s SFTP server', async (sftp) => {
  const started = await startOpensshServer({ sftp })
  const server = 'skipped' in started ? undefined : started
  let fleet: TestFleet
  let host: Host
  let here: string
  let there: string
  beforeAll(async () => {
    if (!server) return
    fleet = await fleetOf({ vm01: server }, { settings: { connect_timeout: '20s' } })
    host = fleet.remex.host('vm01')
    here = await mkdtemp(join(tmpdir(), 'remex-transfer-'))
    there = (await host.run('mktemp -d')).stdout.trim()
  })
  afterAll(async () => {
    if (server) await host.run(['rm', '-rf', '--', there])
    if (server) await fleet[Symbol.asyncDispose]()
    await server?.close()
    if (server) await rm(here, { recursive: true })
  })

  describe.skipIf(!server)(`a transfer${'skipped' in started ? ` (skipped: ${started.skipped})` : ''}`, () => {
    it('has a receipt that says what both ends have', async () => {
      const data = randomBytes(1_000_003)
      await writeFile(join(here, 'sent'), data)
      const receipt = await host.put(join(here, 'sent'), `${there}/sent`, { mode: 0o640 })
      const hostKey = fingerprint((server as OpensshServer).hostKeys[0]?.blob ?? Buffer.alloc(0))
      expect(receipt).toMatchObject({ vmId: 'vm01', operation: 'upload', sizeBytes: data.length, sha256: sha256(data), verified: true, mode: 0o640, success: true, attempts: 1, engine: 'ssh2', hostKey, error: null })
      expect((await host.run(`stat -c '%a %s' ${there}/sent; sha256sum < ${there}/sent`)).stdout).toBe(`640 1000003\n${sha256(data)}  -\n`)
      const back = await host.get(`${there}/sent`, join(here, 'back'), { mode: 0o600 })
      expect(back).toMatchObject({ operation: 'download', sizeBytes: data.length, sha256: sha256(data), verified: true, mode: 0o600 })
      expect((await readFile(join(here, 'back'))).equals(data)).toBe(true)
      expect((await stat(join(here, 'back'))).mode & 0o777).toBe(0o600)
      expect(JSON.parse(JSON.stringify(back))).toMatchObject({ vm_id: 'vm01', operation: 'download', size_bytes: data.length, verified: true, mode: '0600', resumed_from_bytes: 0, success: true, error: null })
    })

    it.each(NAMES)('takes names with %s', async (_what, name) => {
      const local = join(here, name)
      await writeFile(local, name)
      expect(await host.put(local, `${there}/${name}`)).toMatchObject({ verified: true, sizeBytes: Buffer.byteLength(name) })
      await rm(local)
      expect(await host.get(`${there}/${name}`, local)).toMatchObject({ verified: true, sha256: sha256(name) })
      expect(await readFile(local, 'utf8')).toBe(name)
    })

    it('takes a name with a leading dash that stands alone, in the home', async () => {
      await writeFile(join(here, '-n'), 'dash')
      expect(await host.put(join(here, '-n'), '-n')).toMatchObject({ verified: true })
      expect((await host.run('cat ./-n; rm ./-n')).stdout).toBe('dash')
    })

    it('puts a file into a directory under its own name', async () => {
      await writeFile(join(here, 'named'), 'x')
      await host.put(join(here, 'named'), there)
      expect(await namesIn(host, there)).toContain('named')
    })

    it('reads a file of /proc to its end, though its size is said to be 0', async () => {
      const receipt = await host.get('/proc/version', join(here, 'version'))
      const text = await readFile(join(here, 'version'), 'utf8')
      expect(text).toMatch(/^Linux version/)
      expect(receipt).toMatchObject({ verified: true, sizeBytes: Buffer.byteLength(text) })
      expect(await host.put('/proc/version', `${there}/version`)).toMatchObject({ verified: true, sha256: receipt.sha256 })
    })

    it.each<[string, string, (scene: { here: string; there: string }) => [string, string], RegExp]>([
      ['a local file that is not there', 'LOCAL_NOT_FOUND', (at) => [join(at.here, 'nowhere'), `${at.there}/x`], /nowhere/],
      ['a target directory that is not there', 'REMOTE_NOT_FOUND', (at) => [join(at.here, 'file'), `${at.there}/no/x`], /vm01.*\/no/],
      ['a target directory that is not there and is meant by a slash', 'REMOTE_NOT_FOUND', (at) => [join(at.here, 'file'), `${at.there}/no/`], /vm01.*\/no/],
      ['a target directory that is not writable', 'PERMISSION_DENIED', (at) => [join(at.here, 'file'), '/etc/remex-test'], /vm01.*\/etc/],
      ['a directory as the source', 'USAGE', (at) => [at.here, `${at.there}/x`], /is a directory/],
    ])('upload: %s is %s and leaves nothing on the host', async (_what, code, paths, message) => {
      await writeFile(join(here, 'file'), 'new')
      const before = await namesIn(host, there)
      const error = await failureOf(host.put(...paths({ here, there })))
      expect(error).toMatchObject({ code, message: expect.stringMatching(message) as string })
      expect(await namesIn(host, there)).toEqual(before)
    })

    it.each<[string, string, (scene: { here: string; there: string }) => [string, string], RegExp]>([
      ['a remote file that is not there', 'REMOTE_NOT_FOUND', (at) => [`${at.there}/nowhere`, join(at.here, 'kept')], /vm01.*nowhere/],
      ['a remote directory', 'USAGE', (at) => [at.there, join(at.here, 'kept')], /is a directory/],
      ['a remote file that may not be read', 'PERMISSION_DENIED', (at) => [`${at.there}/locked`, join(at.here, 'kept')], /vm01.*locked/],
      ['a local directory that is not there', 'LOCAL_NOT_FOUND', (at) => [`${at.there}/file`, join(at.here, 'no/x')], /\/no/],
      ['a device', 'USAGE', (at) => ['/dev/null', join(at.here, 'kept')], /not a regular file/],
    ])('download: %s is %s, and the local file of before stays', async (_what, code, paths, message) => {
      await writeFile(join(here, 'kept'), 'old')
      await host.run(`cd ${there} && echo x >file && echo x >locked && chmod 0 locked`)
      const before = await readdir(here)
      const error = await failureOf(host.get(...paths({ here, there })))
      expect(error).toMatchObject({ code, message: expect.stringMatching(message) as string })
      expect(await readFile(join(here, 'kept'), 'utf8')).toBe('old')
      expect(await readdir(here)).toEqual(before)
    })

    it('that is cancelled leaves the old file; the next one leaves nothing of it', async () => {
      await writeFile(join(here, 'big'), Buffer.alloc(64 << 20))
      await host.run(`echo old > ${there}/big`)
      const before = await namesIn(host, there)
      const cancel = new AbortController()
      const onProgress = (): void => cancel.abort()
      expect(await failureOf(host.put(join(here, 'big'), `${there}/big`, { signal: cancel.signal, onProgress }))).toMatchObject({ code: 'CANCELLED', mayHaveRun: false })
      expect((await namesIn(host, there)).filter((name) => !name.includes('.remex-'))).toEqual(before)
      expect((await host.run(`cat ${there}/big`)).stdout).toBe('old\n')
      await host.put(join(here, 'big'), `${there}/big`)
      expect(await namesIn(host, there)).toEqual(before)
    })

    it('that does not end in its time is TIMED_OUT and leaves the old file; the next one leaves nothing of it', async () => {
      await host.run(`head -c 64M /dev/zero > ${there}/source`)
      await writeFile(join(here, 'kept'), 'old')
      const before = await readdir(here)
      expect(await failureOf(host.get(`${there}/source`, join(here, 'kept'), { timeout: '30ms', retries: 3 }))).toMatchObject({ code: 'TIMED_OUT' })
      expect(await readFile(join(here, 'kept'), 'utf8')).toBe('old')
      expect((await readdir(here)).filter((name) => !name.includes('.remex-'))).toEqual(before)
      await host.get(`${there}/source`, join(here, 'kept'))
      expect(await readdir(here)).toEqual(before)
      await host.run(['rm', `${there}/source`])
    })

    it('without verification says that nothing was verified', async () => {
      await writeFile(join(here, 'file'), 'x')
      expect(await host.put(join(here, 'file'), `${there}/unverified`, { insecureSkipVerify: true })).toMatchObject({ verified: false, success: true, sizeBytes: 1 })
    })
  })

  describe.skipIf(!server)(`a script${'skipped' in started ? ` (skipped: ${started.skipped})` : ''}`, () => {
    const script = async (name: string, text: string): Promise<string> => {
      const path = join(here, name)
      await writeFile(path, text)
      await chmod(path, 0o644)
      return path
    }
    /** Scripts lie in directories of this name while they run; a test user may have the uid of a former one. */
    const leftOver = async (): Promise<string> => (await host.run(`find "\${TMPDIR:-/tmp}" -maxdepth 1 -name "remex-????????????????????" -user "$(id -u)" -newer ${there} 2>/dev/null`)).stdout

    it('gets its arguments, input, variables and directory, gives its exit status, and is removed', async () => {
      const path = await script('all.sh', '#!/bin/sh\nprintf "%s|" "$@"; pwd; echo "$V"; cat; echo err >&2; exit 7\n')
      const result = await host.script(path, { args: ['a b', '$x', "it's", '-n', ''], stdin: 'input\n', env: { V: 'v v' }, cwd: '/' })
      expect(result).toMatchObject({ operation: 'script', stdout: "a b|$x|it's|-n||/\nv v\ninput\n", stderr: 'err\n', exitCode: 7, ended: 'exited' })
      expect(await leftOver()).toBe('')
    })

    it('runs by the interpreter that is named, or by its first line', async () => {
      expect(await host.script(await script('plain.txt', 'echo "$0" | sed "s,.*/,,"\n'), { interpreter: 'sh -e' })).toMatchObject({ stdout: 'plain.txt\n' })
      expect(await host.script(await script('awk', '#!/usr/bin/awk -f\nBEGIN { print 6 * 7 }\n'))).toMatchObject({ stdout: '42\n' })
    })

    it('without a first line that names an interpreter runs by the shell', async () => {
      expect(await host.script(await script('bare', 'echo bare "$1"\n'), { args: ['x'] })).toMatchObject({ stdout: 'bare x\n', exitCode: 0 })
    })

    it('may have any file name', async () => {
      for (const [, name] of NAMES) expect(await host.script(await script(name, '#!/bin/sh\necho "$1"\n'), { args: [name] })).toMatchObject({ stdout: `${name}\n`, exitCode: 0 })
      expect(await leftOver()).toBe('')
    })

    it('is ended with its whole tree and removed after a deadline', async () => {
      const path = await script('slow.sh', '#!/bin/sh\nsetsid sleep 24 &\nsleep 26\n')
      expect(await host.script(path, { timeout: '700ms' })).toMatchObject({ ended: 'timed_out', killed: { survivors: [], scope: 'tree' } })
      expect(await leftOver()).toBe('')
      expect((await host.run('ps -eo args | grep "[s]leep 2[46]"')).stdout).toBe('')
    })

    it('is ended and removed after a cancel', async () => {
      const cancel = new AbortController()
      const path = await script('cancelled.sh', '#!/bin/sh\necho up\nsleep 23\n')
      expect(await host.script(path, { signal: cancel.signal, onOutput: () => cancel.abort() })).toMatchObject({ ended: 'cancelled', stdout: 'up\n' })
      expect(await leftOver()).toBe('')
    })

    it('stays where that is asked for', async () => {
      const result = await host.script(await script('kept.sh', '#!/bin/sh\necho "$0"\n'), { keep: true })
      const path = result.stdout.trim()
      expect((await host.run(['stat', '-c', '%a', path])).stdout).toBe('700\n')
      expect(await leftOver()).toBe(`${dirname(path)}\n`)
      await host.run(['rm', '-rf', '--', dirname(path)])
    })

    it('that is on the host already runs from there, by an absolute or a relative path, and stays', async () => {
      await host.run('printf "#!/bin/sh\\necho here \\$1\\n" > remote.sh && chmod +x remote.sh')
      expect(await host.script('remote.sh', { remote: true, args: ['1'] })).toMatchObject({ stdout: 'here 1\n' })
      expect(await host.script('./remote.sh', { remote: true, args: ['2'] })).toMatchObject({ stdout: 'here 2\n' })
      expect(await host.script('nowhere.sh', { remote: true })).toMatchObject({ exitCode: 127, success: false })
      expect((await host.run('rm remote.sh')).exitCode).toBe(0)
    })

    it('that is not there is LOCAL_NOT_FOUND, and did not run', async () => {
      expect(await failureOf(host.script(join(here, 'no.sh')))).toMatchObject({ code: 'LOCAL_NOT_FOUND', mayHaveRun: false, result: { ended: 'not_started' } })
      await mkdir(join(here, 'directory'), { recursive: true })
      expect(await failureOf(host.script(join(here, 'directory')))).toMatchObject({ code: 'USAGE' })
      expect(await leftOver()).toBe('')
    })
  })
})

describe('with sshd that has no SFTP server', async () => {
  const started = await startOpensshServer({ config: ['ForceCommand /bin/false'] })
  const server = 'skipped' in started ? undefined : started
  afterAll(() => server?.close())

  it.skipIf(!server)('a transfer says so, and what to do', async () => {
    await using fleet = await fleetOf({ vm01: server as OpensshServer }, { settings: { connect_timeout: '20s' } })
    const error = await failureOf(fleet.remex.host('vm01').get('/etc/hostname', join(fleet.folder, 'x')))
    expect(error).toMatchObject({ vmId: 'vm01', message: expect.stringMatching(/vm01.*sftp/i) as string })
    expect(error.hint).not.toBe('')
  })
})
