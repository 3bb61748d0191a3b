import { spawn, spawnSync } from 'node:child_process'
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import fc from 'fast-check'
import { Secret } from '../../src/core/secret.ts'
import { prelude, type Prelude } from '../../src/session/prelude.ts'

const SHELLS = ['sh', 'bash', 'zsh', 'fish', 'csh', 'dash', 'busybox'].map((name) => ({ name, path: pathOf(name) }))
const PLAIN = { runId: 'r1', text: 'true', env: {}, cwd: undefined, sudoUser: undefined, pty: undefined }

let home: string
beforeAll(async () => {
  home = await realpath(await mkdtemp(join(tmpdir(), 'remex-prelude-')))
})
afterAll(() => rm(home, { recursive: true }))

describe('the exec request', () => {
  it.each([
    ['sends plain text as it is', { text: 'df -h | sort' }, "exec /bin/sh -c 'export REMEX_RUN_ID=r1; df -h | sort'"],
    ['encodes what a login shell may still see in single quotes', { text: "echo 'a!\\'" }, String.raw`exec /bin/sh -c 'set -- "$(printf %b "$1")"; eval "shift; $1"' sh 'export REMEX_RUN_ID=r1; echo \0047a\0041\0134\0047'`],
    ['encodes newlines and bytes above 127', { text: 'a\né' }, String.raw`exec /bin/sh -c 'set -- "$(printf %b "$1")"; eval "shift; $1"' sh 'export REMEX_RUN_ID=r1; a\0012\0303\0251'`],
    ['enters the directory first and stops when it cannot', { cwd: '/srv/data' }, "exec /bin/sh -c 'export REMEX_RUN_ID=r1; CDPATH= cd -- /srv/data || exit; true'"],
    ['leaves ~ to the host', { cwd: '~/logs' }, `exec /bin/sh -c 'export REMEX_RUN_ID=r1; CDPATH= cd -- "$HOME"/logs || exit; true'`],
    ['takes a directory named - for a name', { cwd: '-' }, "exec /bin/sh -c 'export REMEX_RUN_ID=r1; CDPATH= cd -- ./- || exit; true'"],
    [
      'marks both sides of sudo, and the start behind it',
      { sudoUser: 'root' },
      "exec sudo -n -u 'root' -- /bin/sh -c 'export REMEX_RUN_ID=r1; echo remex-started:r1 >&2; true'",
    ],
  ])('%s', (_sentence, parts, exec) => {
    expect(prelude({ ...PLAIN, ...parts })).toMatchObject({ exec, head: '' })
  })

  it('never carries a value of the environment', () => {
    const sent = prelude({ ...PLAIN, env: { PLAIN: 'plain-value', TOKEN: new Secret('secret-value') } })
    expect(sent.exec).not.toMatch(/plain-value|secret-value|TOKEN/)
    expect(sent.head).toContain("export TOKEN='secret-value'\n")
  })

  it('sends text on standard input that is too long for an argument', () => {
    const sent = prelude({ ...PLAIN, text: `: ${'x'.repeat(200_000)}` })
    expect(sent.exec.length).toBeLessThan(1000)
    expect(sent.head.length).toBeGreaterThan(200_000)
  })

  it.each([
    ['an empty command', { text: ' \n' }],
    ['a command with a NUL', { text: 'a\0b' }],
    ['a name that is no variable name', { env: { 'A-B': '1' } }],
    ['a name that would be shell text', { env: { 'A=1; reboot; B': '1' } }],
    ['a value with a NUL', { env: { A: 'x\0y' } }],
    ['an empty directory', { cwd: '' }],
    ['a sudo user that is shell text', { sudoUser: 'root; reboot' }],
    ['a sudo user that is an option', { sudoUser: '-h' }],
  ])('refuses %s', (_sentence, parts) => {
    expect(() => prelude({ ...PLAIN, ...parts })).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })
})

describe.each(SHELLS)('under the login shell $name', ({ path, name }) => {
  const here = it.skipIf(path === undefined)

  here('any text, directory, variable and input arrive as they are', async () => {
    const word = fc.string({ unit: fc.oneof(fc.constantFrom(...'\'"\\!`$%*?[]{}()<>|&;~#= \t\n\r^-aZ0'.split('')), fc.string({ unit: 'binary', minLength: 1, maxLength: 1 })), maxLength: 40 }).map((text) => text.replaceAll('\0', ''))
    await fc.assert(
      fc.asyncProperty(word, word, word, fc.boolean(), async (value, text, input, withEnv) => {
        const quoted = `'${text.replaceAll("'", String.raw`'\''`)}'`
        const sent = prelude({ ...PLAIN, text: `printf '%s|' ${quoted} "\${V-}"; cat`, env: withEnv ? { V: value } : {}, cwd: home })
        const ran = await run(path ?? '', sent, input)
        const text8 = Buffer.from(text, 'utf8').toString()
        expect(ran).toMatchObject({ stdout: `${text8}|${withEnv ? Buffer.from(value, 'utf8').toString() : ''}|${Buffer.from(input, 'utf8').toString()}`, code: 0 })
      }),
      { numRuns: name === 'fish' ? 15 : 40 },
    )
  }, 60_000)

  here('a directory that is not there stops compound commands', async () => {
    const ran = await run(path ?? '', prelude({ ...PLAIN, text: 'echo A; echo B', cwd: '/nowhere/at all' }), '')
    expect(ran.stdout).toBe('')
    expect(ran.code).not.toBe(0)
  })

  here('multi-line text with a here-document runs whole', async () => {
    const ran = await run(path ?? '', prelude({ ...PLAIN, text: "cat <<'END'\n$HOME is ! a \\ literal\nEND\necho $#" }), '')
    expect(ran.stdout).toBe('$HOME is ! a \\ literal\n0\n')
  })

  here.each([
    ['plain text', { text: 'cat /proc/$$/cmdline; env' }],
    ['encoded text', { text: "cat /proc/$$/cmdline; env # it's" }],
    ['text that travels on standard input', { text: 'cat /proc/$$/cmdline; env', env: { A: '1' } }],
  ])('the run id is in the arguments of the first process and in the environment of the others: %s', async (_sentence, parts) => {
    const ran = await run(path ?? '', prelude({ ...PLAIN, ...parts }), '')
    expect(ran.stdout).toContain('REMEX_RUN_ID=r1;')
    expect(ran.stdout.split('\n')).toContain('REMEX_RUN_ID=r1')
  })

  here('input that ends before the whole head has come runs nothing', async () => {
    const sent = prelude({ ...PLAIN, text: 'echo started', env: { A: '1', B: '2' } })
    const ran = await run(path ?? '', { ...sent, head: sent.head.slice(0, sent.head.indexOf('export B')) }, '')
    expect(ran).toMatchObject({ stdout: '', code: 125 })
  })
})

interface Ran {
  readonly stdout: string
  readonly code: number | null
}

function run(shell: string, { exec, head }: Pick<Prelude, 'exec' | 'head'>, input: string): Promise<Ran> {
  const args = shell.endsWith('busybox') ? ['sh', '-c', exec] : ['-c', exec]
  const child = spawn(shell, args, { cwd: home, env: { PATH: process.env.PATH, HOME: home, LC_ALL: 'C.UTF-8' } })
  child.stdin.on('error', () => undefined)
  child.stdin.end(head + input)
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  child.stderr.resume()
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ stdout: Buffer.concat(chunks).toString('utf8'), code }))
  })
}

function pathOf(name: string): string | undefined {
  const found = spawnSync('/bin/sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim()
  return found === '' ? undefined : found
}
