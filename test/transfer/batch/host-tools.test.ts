import { symlink } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { remexError } from '../../../src/core/errors.ts'
import type { TransferAccess } from '../../../src/transfer/access.ts'
import { findHostTools } from '../../../src/transfer/batch/host-tools.ts'
import { localAccess } from '../local-access.ts'
import { scratch } from '../scratch.ts'
import { ALL_TOOLS, hostWith, toolsOf, which } from './tool-path.ts'

const without = (...names: string[]): string[] => ALL_TOOLS.filter((tool) => !names.includes(tool))
const says =
  (exitCode: number, words: string): TransferAccess['run'] =>
  async (_command, { onOutput } = {}) => {
    await onOutput?.('stdout', Buffer.from(words))
    return { exitCode, stdout: Buffer.from(words), stderr: Buffer.alloc(0) }
  }

describe('findHostTools', () => {
  it('finds the umask of the login, and what GNU systems have', async ({ skip }) => {
    skip(which('sha256sum') === undefined, 'there is no sha256sum on this machine')
    const access = await hostWith(await scratch(), { programs: ALL_TOOLS })
    const masked: TransferAccess = { ...access, run: (command, options) => access.run(`umask 027; ${String(command)}`, options) }
    expect(await toolsOf(masked)).toMatchObject({ umask: 0o027, checksum: 'sha256sum', sizes: 'stat -c %s' })
  })

  it('is content with busybox', async ({ skip }) => {
    skip(which('busybox') === undefined, 'there is no busybox on this machine')
    const access = await hostWith(await scratch(), { programs: [...without('sha256sum'), 'busybox'], busybox: true })
    expect(await toolsOf(access)).toMatchObject({ checksum: 'busybox sha256sum', sizes: 'stat -c %s' })
  })

  const checksums: [string, string[], string][] = [
    ['openssl', ['openssl'], 'openssl dgst -sha256 -r'],
    ['shasum', ['shasum', 'perl', 'env'], 'shasum -a 256'],
  ]
  it.for(checksums)('uses %s where it is the only tool for checksums', async ([program, programs, checksum], { skip }) => {
    skip(which(program) === undefined, `there is no ${program} on this machine`)
    const access = await hostWith(await scratch(), { programs: [...without('sha256sum'), ...programs] })
    expect(await toolsOf(access)).toMatchObject({ checksum })
  })

  const wrong: [string, string][] = [
    ['says nothing', 'exit 0'],
    ['gives the same digest for every file', `for f do echo "${'a'.repeat(64)}  $f"; done`],
    ['tells of one file only', 'exec "$REAL" "$1"'],
    ['tells the files in another order', 'exec "$REAL" "$2" "$1"'],
    ['talks before it answers', 'echo Welcome; exec "$REAL" "$@"'],
  ]
  it.for(wrong)('does not believe a sha256sum that %s, and goes on to the next', async ([, body], { skip }) => {
    skip(which('openssl') === undefined, 'there is no openssl on this machine')
    const real = which('sha256sum') ?? '/nowhere'
    const scripts = { sha256sum: body.replace('"$REAL"', real) }
    const access = await hostWith(await scratch(), { programs: [...without('sha256sum'), 'openssl'], scripts })
    expect(await toolsOf(access)).toMatchObject({ checksum: 'openssl dgst -sha256 -r' })
  })

  it('uses plain sync where sync knows no file systems, without calling it', async () => {
    const home = await scratch()
    const scripts = { sync: `[ $# -eq 0 ] && mkdir ${home}/called; exit 1` }
    expect(await toolsOf(await hostWith(home, { programs: without('sync'), scripts }))).toMatchObject({ sync: 'sync' })
    await symlink('/nowhere', `${home}/called`)
  })

  it('does without the sizes of files where there is no stat', async () => {
    expect(await toolsOf(await hostWith(await scratch(), { programs: without('stat') }))).toMatchObject({ sizes: undefined })
  })

  it('uses the stat of the BSDs', async () => {
    const stat = '[ "$1 $2" = "-f %z" ] && echo 0 || { echo "illegal option" >&2; exit 1; }'
    const access = await hostWith(await scratch(), { programs: without('stat'), scripts: { stat } })
    expect(await toolsOf(access)).toMatchObject({ sizes: 'stat -f %z' })
  })

  it.each(without('stat').map((tool) => [tool]))('is null on a host without %s', async (tool) => {
    expect(await findHostTools(await hostWith(await scratch(), { programs: without(tool) }), undefined)).toBeNull()
  })

  const broken: [string, Record<string, string>][] = [
    ['tar unpacks something else', { tar: 'echo other' }],
    ['tar fails', { tar: 'cat >/dev/null; exit 1' }],
    ['xargs does not know names that end in NUL', { xargs: 'cat >/dev/null; echo "illegal option" >&2; exit 1' }],
  ]
  it.each(broken)('is null where %s', async (_what, scripts) => {
    const access = await hostWith(await scratch(), { programs: without(...Object.keys(scripts)), scripts })
    expect(await findHostTools(access, undefined)).toBeNull()
  })

  const noShells: [string, TransferAccess['run']][] = [
    ['there is no shell', says(127, '')],
    ['every command succeeds and says nothing', says(0, '')],
    ['every command is answered by a menu', says(0, 'remex-tools please choose 1 2 3\n')],
    ['a tool is named that nobody asked for', says(0, 'remex-tools 0022 9 0 0\n')],
    ['the answer does not end', says(0, `${'x'.repeat(70_000)}\nremex-tools 0022 0 0 0\n`)],
    ['commands are refused', () => Promise.reject(remexError('CHANNEL_REFUSED', 'no'))],
    ['the command ends in a way that nobody foresaw', () => Promise.reject(new Error('of the session'))],
  ]
  it.each(noShells)('is null where %s', async (_what, run) => {
    expect(await findHostTools(localAccess({ home: '/', run }), undefined)).toBeNull()
  })

  it('finds the answer among what a start-up file prints', async () => {
    const run = says(0, 'Welcome\nremex-tools 0077 0 1 2\nBye\n')
    expect(await findHostTools(localAccess({ home: '/', run }), undefined)).toEqual({
      umask: 0o077,
      checksum: 'sha256sum',
      sync: 'sync',
      sizes: undefined,
    })
  })

  it('rejects when the connection is lost', async () => {
    const access = localAccess({ home: '/', run: () => Promise.reject(remexError('CONNECTION_LOST', 'gone')) })
    await expect(findHostTools(access, undefined)).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
  })

  it('rejects with the signal’s reason when it aborts, before and during the command', async () => {
    const reason = remexError('TIMED_OUT', 'the deadline passed')
    const controller = new AbortController()
    const run = (): Promise<never> => {
      controller.abort(reason)
      return Promise.reject(new Error('something of the session'))
    }
    await expect(findHostTools(localAccess({ home: '/', run }), controller.signal)).rejects.toBe(reason)
    await expect(findHostTools(localAccess({ home: '/' }), AbortSignal.abort(reason))).rejects.toBe(reason)
  })
})
