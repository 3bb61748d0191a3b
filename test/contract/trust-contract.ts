import { describe, expect, test } from 'vitest'
import { remexError, type ErrorCode } from '../../src/core/errors.ts'
import { fingerprint, parseHostKey, type HostKey } from '../../src/core/host-key.ts'
import type { ConnectTarget } from '../../src/transport/contract.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import { collect, targetOf, type ContractCase } from './contract-server.ts'

const REFUSALS: readonly (readonly [string, ErrorCode])[] = [
  ['unknown', 'HOST_KEY_UNKNOWN'],
  ['changed', 'HOST_KEY_CHANGED'],
  ['revoked', 'HOST_KEY_REVOKED'],
]

const anotherKey = (): HostKey => {
  const { publicKey } = makeKeyPair('ecdsa', { bits: 521 })
  return parseHostKey(publicKey) as HostKey
}

/** Who the host is, and who we are. */
export function trustContract(subject: ContractCase): void {
  describe('trust', () => {
    hostKeys(subject)
    logins(subject)
  })
}

function hostKeys({ engine, server, connect }: ContractCase): void {
  for (const [name, code] of REFUSALS) {
    test(`is refused to a host whose key is ${name}, with the very error of the judge`, async (context) => {
      const refusal = remexError(code, 'judged', { vmId: 'vm01' })
      const target = targetOf(server(context), { verifyHostKey: () => { throw refusal } })
      await expect(engine.connect(target)).rejects.toBe(refusal)
    })
  }

  test('asks for a key of a known type before any other', async (context) => {
    for (const known of server(context).hostKeys) {
      const shown: string[] = []
      const target = targetOf(server(context), { knownHostKeys: [known], verifyHostKey: (key) => void shown.push(key.type) })
      const connection = await engine.connect(target)
      connection.close()
      expect([connection.info.hostKey.type, ...new Set(shown)]).toEqual([known.type, known.type])
    }
  })

  test('judges a host that has only keys of other types than the known ones by its key', async (context) => {
    const target = targetOf(server(context), {
      knownHostKeys: [anotherKey()],
      verifyHostKey: (key) => { throw remexError('HOST_KEY_CHANGED', key.type) },
    })
    await expect(engine.connect(target)).rejects.toMatchObject({ code: 'HOST_KEY_CHANGED', message: 'ssh-ed25519' })
  })

  test('finds the key that is pinned by fingerprint alone among all the keys of the host', async (context) => {
    for (const pinned of server(context).hostKeys) {
      const target = targetOf(server(context), {
        knownHostKeys: [],
        verifyHostKey: ({ blob }) => { if (!blob.equals(pinned.blob)) throw remexError('HOST_KEY_CHANGED', 'not the pinned one') },
      })
      const connection = await engine.connect(target)
      expect(connection.info.hostKey.type).toBe(pinned.type)
      connection.close()
    }
  })

  test('is given to a host of which only fingerprints are known, by the one that it shows or another of its keys', async (context) => {
    for (const { fingerprint: known, type } of server(context).hostKeys) {
      const verifyHostKey = (key: HostKey): void => { if (fingerprint(key.blob) !== known) throw remexError('HOST_KEY_CHANGED', 'not the known one') }
      const connection = await engine.connect(targetOf(server(context), { knownHostKeys: [], knownFingerprints: [known], verifyHostKey }))
      connection.close()
      expect(connection.info.hostKey).toMatchObject({ type, fingerprint: known })
    }
  })

  test('gives no keys of the host beyond the one that it proved itself by, unless they are wanted', async (context) => {
    const connection = await connect(context)
    expect(await connection.provenHostKeys()).toEqual([])
  })

  test('cannot be left out: without a judge it does not compile and does not connect', async (context) => {
    const { verifyHostKey: _judge, ...rest } = targetOf(server(context))
    // @ts-expect-error -- a target without verifyHostKey is not a ConnectTarget
    const target: ConnectTarget = rest
    await expect(engine.connect(target)).rejects.toMatchObject({ code: 'INTERNAL' })
  })
}

function logins({ engine, server, connect }: ContractCase): void {
  test('is refused to us with a key that the host does not know, saying what was tried', async (context) => {
    const stranger = { kind: 'key', label: 'id_stranger', data: Buffer.from(makeKeyPair().privateKey) } as const
    const target = targetOf(server(context), { identities: [stranger] })
    const { login, port } = target
    await expect(engine.connect(target)).rejects.toMatchObject({
      code: 'AUTH_FAILED',
      vmId: 'vm01',
      message: expect.stringMatching(new RegExp(`^vm01 .*${login}@127\\.0\\.0\\.1:${port} .*id_stranger.*the server accepts: publickey`)),
    })
  })

  test('is given to the second key when the first is not known', async (context) => {
    const stranger = { kind: 'key', label: 'id_stranger', data: Buffer.from(makeKeyPair('rsa').privateKey) } as const
    const connection = await connect(context, { identities: [stranger, ...targetOf(server(context)).identities] })
    expect(String((await collect(await connection.exec('echo in'))).stdout)).toBe('in\n')
  })
}
