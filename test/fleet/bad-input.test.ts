import { chmod, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RemexError } from '../../src/core/errors.ts'
import { Remex } from '../../src/remex.ts'
import { startSshServer, type TestSshServer } from '../../testkit/ssh-server.ts'
import { failureOf } from '../failure-of.ts'
import { fleetOf } from '../interop/fleet-of.ts'

let server: TestSshServer
beforeAll(async () => {
  server = await startSshServer()
})
afterAll(() => server.close())

describe('a caller without types', () => {
  it.each<[string, Record<string, unknown>, RegExp]>([
    ['a number as the value of a variable', { env: { PIN: 4711 } }, /PIN in env is of type number/],
    ['a list as the environment', { env: ['A=1'] }, /env is a list/],
    ['no environment at all', { env: null }, /env is null/],
    ['a number as the directory', { cwd: 5 }, /cwd is of type number/],
    ['a number as the input', { stdin: 5 }, /stdin is of type number/],
    ['a list as the user of sudo', { sudo: ['root'] }, /sudo is a list/],
    ['a text as the listener', { onOutput: 'log' }, /onOutput is of type string/],
    ['an object as the signal', { signal: {} }, /signal is of type object/],
    ['a text as the number of attempts', { retries: '3' }, /retries: 3 is not a whole number/],
    ['an object as the timeout', { timeout: {} }, /timeout.*not a duration/],
  ])('who gives %s is told so, without the value, and nothing is sent or logged', async (_what, options, message) => {
    await using own = await startSshServer()
    await using fleet = await fleetOf({ vm01: own })
    const error = await failureOf(fleet.remex.host('vm01').run('true', options))
    expect(error).toMatchObject({ code: 'USAGE', message: expect.stringMatching(message) as string })
    expect(error.message).not.toContain('4711')
    expect([own.connections, await fleet.records()]).toEqual([0, []])
  })

  it('who gives something else than a command, words or a path is told so', async () => {
    await using fleet = await fleetOf({ vm01: server })
    const host = fleet.remex.host('vm01')
    const anything: (value: unknown) => never = (value) => value as never
    for (const value of [undefined, null, 5, {}, ['a', 1]]) expect(await failureOf(host.run(anything(value)))).toMatchObject({ code: 'USAGE', message: expect.stringMatching(/the command/) as string })
    expect(await failureOf(host.script('s', { args: anything('x') }))).toMatchObject({ code: 'USAGE', message: expect.stringMatching(/args/) as string })
    expect(await failureOf(host.put(anything(5), 'x'))).toMatchObject({ code: 'USAGE', message: expect.stringMatching(/local path/) as string })
    expect(await failureOf(host.get(anything(undefined), 'x'))).toMatchObject({ code: 'USAGE', message: expect.stringMatching(/remote path/) as string })
    for (const value of [undefined, 5, '', ',']) expect(() => fleet.remex.hosts(anything(value))).toThrow(RemexError)
  })
})

describe('a host without a key that can be used', () => {
  it('is told so with where a key is looked for, and nothing is sent', async () => {
    await using own = await startSshServer()
    await using fleet = await fleetOf({ vm01: own })
    const path = join(fleet.folder, 'keys/id_ed25519_vm01')
    await chmod(path, 0o640)
    expect(await failureOf(fleet.remex.host('vm01').run('true'))).toMatchObject({ code: 'KEY_UNUSABLE', mayHaveRun: false, message: expect.stringMatching(/640/) as string, hint: expect.stringContaining('chmod 600') as string })
    await writeFile(path, 'no key')
    await chmod(path, 0o600)
    expect(await failureOf(fleet.remex.host('vm01').run('true'))).toMatchObject({ code: 'KEY_UNUSABLE' })
    await rm(path)
    expect(await failureOf(fleet.remex.host('vm01').put('/etc/hostname', 'x'))).toMatchObject({ code: 'KEY_NOT_FOUND', message: expect.stringContaining(join(fleet.folder, 'keys')) as string })
    expect(own.connections).toBe(0)
    expect((await fleet.records()).filter(({ event }) => event === 'finish').map((record) => record.error_code)).toEqual(['KEY_UNUSABLE', 'KEY_UNUSABLE', 'KEY_NOT_FOUND'])
  })
})

describe('output that is not text', () => {
  it('is kept byte for byte, and is in base64 in the JSON form', async () => {
    await using fleet = await fleetOf({ vm01: server })
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
    const result = await fleet.remex.host('vm01').run('cat', { stdin: bytes })
    expect(result.stdoutRaw.equals(bytes)).toBe(true)
    expect(JSON.parse(JSON.stringify(result))).toMatchObject({ stdout_base64: bytes.toString('base64'), stdout_bytes: 256, stderr: '' })
    expect(result.toJSON()).not.toHaveProperty('stdout')
  })
})

describe('a configuration', () => {
  it.each<[string, string, string, RegExp]>([
    ['that is not there', '', 'CONFIG_NOT_FOUND', /config\.yml/],
    ['that is no YAML', 'vms: [', 'CONFIG_INVALID', /config\.yml/],
    ['that is empty', '\n', 'CONFIG_INVALID', /config\.yml/],
    ['without hosts', 'vms: {}\n', 'CONFIG_INVALID', /vms/],
    ['with a typo in a key', 'vms:\n  vm01: {ip: 10.0.0.1, ssh_prot: 22}\n', 'CONFIG_INVALID', /config\.yml:2.*ssh_prot.*ssh_port/],
  ])('%s is told by file, line and key', async (_what, text, code, message) => {
    await using fleet = await fleetOf({ vm01: server })
    const path = join(fleet.folder, 'config.yml')
    if (text !== '') await writeFile(path, text)
    expect(await failureOf(Remex.open({ config: path }))).toMatchObject({ code, message: expect.stringMatching(message) as string })
  })
})
