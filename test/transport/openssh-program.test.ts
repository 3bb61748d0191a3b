import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { opensshEngine } from '../../src/transport/openssh/engine.ts'
import { askProgram, isSince, type SshProgram, type Version } from '../../src/transport/openssh/program.ts'
import { ALGORITHMS, POST_QUANTUM_KEX } from '../../src/transport/algorithms.ts'
import { findProgram } from '../../testkit/daemon.ts'
import { startSshServer } from '../../testkit/index.ts'
import { failureOf } from '../failure-of.ts'
import { targetOf } from '../contract/contract-server.ts'
import { fakeProgram, fakeSsh, type FakeSsh, type FakeSshOptions } from './openssh-fake.ts'

/** The directory of the program first: its scripts need no more than a shell. */
const envOf = ({ path }: FakeSsh): { PATH: string } => ({ PATH: `${path}:/nonexistent` })

async function programOf(options: FakeSshOptions): Promise<SshProgram> {
  await using ssh = await fakeSsh(options)
  return await askProgram(envOf(ssh))
}

describe('the ssh of this machine', () => {
  test('that is not there is told as such, with what to do', async () => {
    const error = await failureOf(askProgram({ PATH: '/nonexistent' }))
    expect(error).toMatchObject({ code: 'LOCAL_NOT_FOUND', message: expect.stringContaining('not installed here'), hint: expect.stringContaining('engine: ssh2') })
  })

  test.each<[string, string, RegExp]>([
    ['too old', 'OpenSSH_7.3p1, OpenSSL 1.0.2', /it is OpenSSH 7\.3$/],
    ['much too old', 'OpenSSH_4.3p2', /it is OpenSSH 4\.3$/],
    ['another program', 'Dropbear v2022.83', /it calls itself Dropbear v2022\.83$/],
    ['another program, with a name that is made to mislead', 'ssh\u001b[2J OpenSSH_9.2', /it calls itself ssh\\x1b\[2J OpenSSH_9\.2$/],
    ['another program, with a long name', 'x'.repeat(1000), /it calls itself x{100}$/],
    ['an OpenSSH without a version', 'OpenSSH_next', /it calls itself OpenSSH_next$/],
  ])('that is %s is refused', async (_what, version, message) => {
    await using ssh = await fakeSsh({ version, known: { kex: [], cipher: [], mac: [], key: [] } })
    expect(await failureOf(askProgram(envOf(ssh)))).toMatchObject({ code: 'LOCAL_NOT_FOUND', message: expect.stringMatching(message) })
  })

  test('that says nothing, or fails, is refused', async () => {
    for (const script of ['exit 0', 'exit 1', 'kill -9 $$']) {
      await using ssh = await fakeProgram(script)
      expect(await failureOf(askProgram(envOf(ssh)))).toMatchObject({ code: 'LOCAL_NOT_FOUND', message: expect.stringContaining('it calls itself nothing') })
    }
  })

  test.each<[string, Version]>([
    ['OpenSSH_7.4p1, OpenSSL 1.0.2k-fips', [7, 4]],
    ['OpenSSH_8.4p1 Debian-5, OpenSSL 1.1.1n', [8, 4]],
    ['OpenSSH_9.2p1 Debian-2+deb12u10, OpenSSL 3.0.19', [9, 2]],
    ['OpenSSH_10.5p1, LibreSSL 4.1.0', [10, 5]],
    ['OpenSSH_9.8', [9, 8]],
    ['OpenSSH_for_Windows_8.1p1, LibreSSL 3.0.2', [8, 1]],
  ])('has its version from "%s"', async (version, expected) => {
    expect((await programOf({ version })).version).toEqual(expected)
  })

  test('knows what it lists, in whatever category, and nothing else', async () => {
    const { knows } = await programOf({ known: { kex: ['curve25519-sha256'], cipher: ['aes128-ctr'], mac: ['hmac-sha2-256'], key: ['ssh-ed25519'] } })
    expect(['curve25519-sha256', 'aes128-ctr', 'hmac-sha2-256', 'ssh-ed25519'].map(knows)).toEqual([true, true, true, true])
    expect(['curve25519', 'aes256-gcm@openssh.com', 'ssh-rsa', 'rsa-sha2-256', 'constructor', ''].map(knows)).toEqual([false, false, false, false, false, expect.any(Boolean)])
  })

  test('knows SHA-2 with the RSA keys that it lists; with certificates since 7.8', async () => {
    const known = { key: ['ssh-rsa', 'ssh-rsa-cert-v01@openssh.com'] }
    const names = ['rsa-sha2-256', 'rsa-sha2-512', 'rsa-sha2-256-cert-v01@openssh.com', 'rsa-sha2-512-cert-v01@openssh.com']
    const byVersion = async (version: string): Promise<boolean[]> => names.map((await programOf({ version, known })).knows)
    expect(await byVersion('OpenSSH_7.7p1')).toEqual([true, true, false, false])
    expect(await byVersion('OpenSSH_7.8p1')).toEqual([true, true, true, true])
    expect((await programOf({ known: { key: ['ssh-rsa'] } })).knows('rsa-sha2-256-cert-v01@openssh.com')).toBe(false)
  })

  test('is since a version what is of it or later', () => {
    const program = (version: Version): SshProgram => ({ version, knows: () => true })
    const versions: Version[] = [[7, 4], [8, 4], [8, 5], [8, 10], [9, 0], [10, 0]]
    expect(versions.map((version) => isSince(program(version), [8, 5]))).toEqual([false, false, true, true, true, true])
  })

  test('that is installed here, where one is, knows at least one algorithm of each category that is allowed', async (context) => {
    if (findProgram('ssh') === undefined) context.skip('ssh is not installed (Debian: openssh-client)')
    const { version, knows } = await askProgram(process.env)
    expect(version[0]).toBeGreaterThanOrEqual(7)
    for (const names of Object.values(ALGORITHMS)) expect(names.filter(knows)).not.toEqual([])
    if (version[0] >= 9) expect(POST_QUANTUM_KEX.filter(knows)).not.toEqual([])
  })
})

describe('an engine', () => {
  test('that has no ssh says so for every host, and finds the one that is installed meanwhile', async () => {
    await using server = await startSshServer()
    await using place = await fakeProgram('exit 1')
    const engine = opensshEngine({ PATH: place.path, HOME: '/nonexistent' })
    const failing = (): Promise<unknown> => failureOf(engine.connect(targetOf(server)))
    expect(await failing()).toMatchObject({ code: 'LOCAL_NOT_FOUND', mayHaveRun: false })
    await expect(engine.fetchHostKeys(targetOf(server))).rejects.toMatchObject({ code: 'LOCAL_NOT_FOUND' })
    await expect(engine.loginMethods(targetOf(server))).rejects.toMatchObject({ code: 'LOCAL_NOT_FOUND' })
    await using found = await fakeSsh({ connecting: 'echo "ssh: connect to host h port 1: No route to host" >&2; exit 255' })
    await copyFile(join(found.path, 'ssh'), join(place.path, 'ssh'))
    expect(await failing()).toMatchObject({ code: 'UNREACHABLE', message: expect.stringContaining('no route to the host') })
    expect(server.logins).toBe(0)
  })

  test('whose ssh has no key exchange that withstands quantum computers sends nothing where one is required', async () => {
    await using server = await startSshServer()
    await using ssh = await fakeSsh({ version: 'OpenSSH_8.4p1', known: { kex: ['curve25519-sha256'] } })
    const connecting = opensshEngine(envOf(ssh)).connect(targetOf(server, { requirePostQuantum: true }))
    expect(await failureOf(connecting)).toMatchObject({ code: 'HANDSHAKE_FAILED', vmId: 'vm01', message: expect.stringContaining('OpenSSH 8.4') })
    expect(server.logins).toBe(0)
  })

  test('whose ssh ends without a word, or by a signal, fails as unreachable', async () => {
    await using server = await startSshServer()
    for (const connecting of ['exit 255', 'kill -9 $$', 'exit 1']) {
      await using ssh = await fakeSsh({ connecting })
      const error = await failureOf(opensshEngine(envOf(ssh)).connect(targetOf(server)))
      expect(error).toMatchObject({ code: 'UNREACHABLE', vmId: 'vm01', mayHaveRun: false })
    }
  })

  test('whose ssh says that it is in without saying how trusts nobody', async () => {
    await using server = await startSshServer()
    await using ssh = await fakeSsh({ connecting: 'exit 0' })
    const error = await failureOf(opensshEngine(envOf(ssh)).connect(targetOf(server)))
    expect(error).toMatchObject({ code: 'HANDSHAKE_FAILED', message: expect.stringContaining('how the host proved itself') })
  })
})
