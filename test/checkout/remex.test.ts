import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, rmSync, statSync, symlinkSync, utimesSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { until } from '../../testkit/until.ts'
import { CheckoutCopy } from './checkout-copy.ts'

/** A user who may write nothing: for a test that is run by root. */
const NOBODY = 65_534

describe('the first call of ./remex', () => {
  it('installs, builds and runs, and only the command itself is on stdout', async () => {
    using checkout = new CheckoutCopy()
    const call = await checkout.run(['a b', '--c'])
    expect(call).toMatchObject({ status: 0, stdout: 'ran a b|--c\n' })
    expect(call.stderr).toContain('npm says this on its stdout')
    expect(checkout.npmCalls).toEqual([expect.stringMatching(/^ci --include=dev /)])
  })

  it('installs once when two are made at once, and both run', async () => {
    using checkout = new CheckoutCopy()
    const calls = await Promise.all([checkout.run(['1']), checkout.run(['2']), checkout.run(['3'])])
    expect(calls.map(({ status, stdout }) => ({ status, stdout }))).toEqual(['1', '2', '3'].map((word) => ({ status: 0, stdout: `ran ${word}\n` })))
    expect(checkout.npmCalls).toHaveLength(1)
    expect(calls.filter(({ stderr }) => stderr.includes('waiting for process'))).toHaveLength(2)
  })

  it('is repaired by the next one when a Ctrl-C came in the middle of the install', async () => {
    using checkout = new CheckoutCopy()
    checkout.holdsInstalls = true
    const { pid, ended } = checkout.start(['never'])
    await until(() => existsSync(join(checkout.root, 'node_modules/esbuild')), { what: 'half an install' })
    process.kill(-pid, 'SIGINT')
    expect(await ended).toMatchObject({ status: 130, stdout: '' })
    expect(readdirSync(join(checkout.root, '.remex'))).toEqual([])
    checkout.holdsInstalls = false
    expect(await checkout.run(['after'])).toMatchObject({ status: 0, stdout: 'ran after\n' })
    expect(checkout.npmCalls).toHaveLength(2)
  })

  it('ends as after a Ctrl-C when npm was ended by it, whoever of the two hears of it first', async () => {
    using checkout = new CheckoutCopy()
    const { status, stderr } = await checkout.run(['never'], { env: { REMEX_TEST_NPM_SIGNAL: 'INT' } })
    expect(status).toBe(130)
    expect(stderr).not.toContain('npm ci failed')
  })

  it('is repaired by the next one when it was killed in the middle of the install and left its lock', async () => {
    using checkout = new CheckoutCopy()
    checkout.holdsInstalls = true
    const { pid, ended } = checkout.start(['never'])
    await until(() => existsSync(join(checkout.root, 'node_modules/esbuild')), { what: 'half an install' })
    process.kill(-pid, 'SIGKILL')
    await ended
    expect(readlinkSync(join(checkout.root, '.remex/lock'))).toMatch(/^\d+\./)
    checkout.holdsInstalls = false
    expect(await checkout.run(['after'])).toMatchObject({ status: 0, stdout: 'ran after\n' })
  })
})

describe('a later call', () => {
  it('says nothing, installs nothing and builds nothing when nothing changed', async () => {
    using checkout = await ready()
    const before = statSync(join(checkout.root, 'dist/cli.cjs')).mtimeMs
    expect(await checkout.run(['again'])).toEqual({ status: 0, stdout: 'ran again\n', stderr: '' })
    expect(statSync(join(checkout.root, 'dist/cli.cjs')).mtimeMs).toBe(before)
    expect(checkout.npmCalls).toHaveLength(1)
  })

  it('starts no Node but the one that becomes the command', async () => {
    using checkout = await ready()
    // Gone for everyone who would want to look whether all is current.
    rmSync(join(checkout.root, 'scripts/setup.mjs'))
    makeOld(checkout, 'scripts')
    expect(await checkout.run(['still'])).toEqual({ status: 0, stdout: 'ran still\n', stderr: '' })
  })

  it('builds after a source was changed, and installs nothing for it', async () => {
    using checkout = await ready()
    checkout.write('src/cli/main.ts', "console.log('another')\n")
    expect(await checkout.run([])).toEqual({ status: 0, stdout: 'another\n', stderr: '' })
    expect(checkout.npmCalls).toHaveLength(1)
  })

  it('builds after a source was removed', async () => {
    using checkout = await ready()
    checkout.write('src/cli/word.ts', "export const word = 'there'\n")
    checkout.write('src/cli/main.ts', "import { word } from './word.ts'\nconsole.log(word)\n")
    expect(await checkout.run([])).toMatchObject({ stdout: 'there\n' })
    rmSync(join(checkout.root, 'src/cli/word.ts'))
    expect(await checkout.run([])).toMatchObject({ status: 125, stdout: '', stderr: expect.stringContaining('word.ts') })
  })

  it('installs after the lock file was changed', async () => {
    using checkout = await ready()
    checkout.write('package-lock.json', JSON.stringify({ packages: { 'node_modules/esbuild': { version: '2.0.0', integrity: 'sha512-2' } } }))
    expect(await checkout.run(['newer'])).toMatchObject({ status: 0, stdout: 'ran newer\n' })
    expect(checkout.npmCalls).toHaveLength(2)
  })

  it.each([
    ['the command line', 'dist/cli.cjs'],
    ['the whole build', 'dist'],
    ['the note that it is ready', '.remex'],
    ['the installed packages', 'node_modules'],
  ])('makes good that somebody removed %s', async (_what, path) => {
    using checkout = await ready()
    rmSync(join(checkout.root, path), { recursive: true })
    expect(await checkout.run(['well'])).toMatchObject({ status: 0, stdout: 'ran well\n' })
  })

  it('names file and line of a source that does not build, and does not run the old build in its place', async () => {
    using checkout = await ready()
    checkout.write('src/cli/main.ts', 'const = 1\n')
    const call = await checkout.run([])
    expect(call).toMatchObject({ status: 125, stdout: '' })
    expect(call.stderr).toContain('src/cli/main.ts:1:6')
    expect(readdirSync(join(checkout.root, '.remex'))).toEqual(['ready'])
  })
})

describe('./remex', () => {
  it('works from any directory, by a relative path, as an argument of sh, and through symbolic links', async () => {
    using checkout = await ready()
    const top = dirname(checkout.root)
    symlinkSync(join(checkout.root, 'remex'), join(top, 'absolute'))
    symlinkSync('absolute', join(top, 'chain'))
    symlinkSync('-a checkout/remex', join(top, 'relative'))
    const calls = [
      checkout.run([], { cwd: join(checkout.root, 'src'), program: '../remex' }),
      checkout.run([], { cwd: top, program: './-a checkout/remex' }),
      checkout.run(['remex'], { cwd: checkout.root, program: 'sh' }),
      checkout.run(['--', '-a checkout/remex'], { cwd: top, program: 'sh' }),
      checkout.run([], { program: join(top, 'chain') }),
      checkout.run([], { cwd: top, program: './relative' }),
    ]
    expect((await Promise.all(calls)).map(({ stdout, stderr }) => stdout + stderr)).toEqual(calls.map(() => 'ran \n'))
  })

  it('needs neither HOME nor TMPDIR', async () => {
    using checkout = new CheckoutCopy()
    const words = ['-u', 'HOME', '-u', 'TMPDIR', join(checkout.root, 'remex'), 'bare']
    expect(await checkout.run(words, { program: '/usr/bin/env' })).toMatchObject({ status: 0, stdout: 'ran bare\n' })
  })

  it('runs a build that is there where it may not write, and says so where there is none', async () => {
    using checkout = new CheckoutCopy()
    chmodSync(dirname(checkout.root), 0o755)
    const reader = process.getuid?.() === 0 ? { uid: NOBODY } : {}
    protect(checkout.root, 0o555)
    const unbuilt = await checkout.run(['none'], reader)
    expect(unbuilt).toMatchObject({ status: 125, stdout: '' })
    expect(unbuilt.stderr).toContain('is not built and cannot be written')
    protect(checkout.root, 0o755)
    await checkout.run([])
    protect(checkout.root, 0o555)
    expect(await checkout.run(['built'], reader)).toEqual({ status: 0, stdout: 'ran built\n', stderr: '' })
    protect(checkout.root, 0o755)
  })

  it('takes the Node that REMEX_NODE names, and says what is wrong with it where it is too old', async () => {
    using checkout = await ready()
    expect(await checkout.run(['named'], { env: { REMEX_NODE: process.execPath } })).toMatchObject({ status: 0, stdout: 'ran named\n' })
    checkout.write('old-node', '#!/bin/sh\necho v20.18.3\n')
    chmodSync(join(checkout.root, 'old-node'), 0o755)
    const call = await checkout.run([], { env: { REMEX_NODE: join(checkout.root, 'old-node') } })
    expect(call).toMatchObject({ status: 125, stdout: '' })
    expect(call.stderr).toContain('which is not Node.js 20.19 or newer but v20.18.3')
  })
})

describe('./remex without a Node on the path', () => {
  it('finds one where version managers put it', async () => {
    using checkout = await ready()
    const home = join(checkout.root, 'home of mine')
    mkdirSync(join(home, '.nvm/versions/node/v99.0.0/bin'), { recursive: true })
    symlinkSync(process.execPath, join(home, '.nvm/versions/node/v99.0.0/bin/node'))
    leaveOnly(checkout, '"${HOME-}"/.nvm')
    expect(await checkout.run(['found'], { env: { PATH: toolsOnly(checkout), HOME: home } })).toEqual({ status: 0, stdout: 'ran found\n', stderr: '' })
  })

  it('says what it needs, what it found, and what to do', async () => {
    using checkout = await ready()
    leaveOnly(checkout, '"${HOME-}"/.nvm')
    const tools = toolsOnly(checkout)
    checkout.write('tools/node', '#!/bin/sh\necho v18.20.4\n')
    chmodSync(join(tools, 'node'), 0o755)
    const call = await checkout.run([], { env: { PATH: tools, HOME: '/nowhere' } })
    expect(call).toMatchObject({ status: 125, stdout: '' })
    expect(call.stderr).toBe(
      `remex: needs Node.js 20.19 or newer; there is only ${join(tools, 'node')} (v18.20.4)\n` +
        '  Install it from https://nodejs.org/en/download or with your package manager,\n' +
        `  or say where it is: REMEX_NODE=/path/to/node ${join(checkout.root, 'remex')}\n`,
    )
  })
})

/** A directory for PATH with what ./remex needs, and no Node. */
function toolsOnly(checkout: CheckoutCopy): string {
  const tools = join(checkout.root, 'tools')
  mkdirSync(tools)
  for (const name of ['find', 'readlink', 'sh']) symlinkSync(join('/usr/bin', name), join(tools, name))
  return tools
}

/** This machine's own Nodes must not be found: of all places to look at, only the one that begins so is left. */
function leaveOnly(checkout: CheckoutCopy, place: string): void {
  const script = readFileSync(join(checkout.root, 'remex'), 'utf8')
  const changed = script.replace(/\/usr\/local\/bin\/node[^;]*?; do/, `${place}/versions/node/*/bin/node; do`)
  if (changed === script) throw new Error('the list of places is not where it was')
  checkout.write('remex', changed)
}

/** A checkout that was called once. */
async function ready(): Promise<CheckoutCopy> {
  const checkout = new CheckoutCopy()
  const { status, stderr } = await checkout.run([])
  if (status !== 0) throw new Error(stderr)
  return checkout
}

/** Gives a directory the age of before the build. */
function makeOld(checkout: CheckoutCopy, path: string): void {
  const ageSeconds = statSync(join(checkout.root, '.remex/ready')).mtimeMs / 1000 - 60
  utimesSync(join(checkout.root, path), ageSeconds, ageSeconds)
}

/** Sets the mode of every directory of the checkout that ./remex would write into. */
function protect(root: string, mode: number): void {
  for (const path of ['', 'dist', '.remex']) if (existsSync(join(root, path))) chmodSync(join(root, path), mode)
}
