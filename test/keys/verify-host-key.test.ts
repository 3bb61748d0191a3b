import { describe, expect, it } from 'vitest'
import { HostKeyMismatchError, RemexError } from '../../src/core/errors.ts'
import { fingerprint, formatHostKey, type HostKey } from '../../src/core/host-key.ts'
import { HostKeyStore } from '../../src/keys/known-hosts.ts'
import { bareFingerprints, certAuthoritiesOf, hostKeyVerifier, knownHostKeys, revokedHostKeys } from '../../src/keys/verify-host-key.ts'
import { sampleHostKey } from './host-key-samples.ts'

const offered = sampleHostKey()
const other = sampleHostKey()
const rsa = sampleHostKey('rsa')
const line = formatHostKey
const known = `10.0.0.10 ${line(offered)}\n`

interface Given {
  readonly text?: string
  readonly pinned?: readonly string[]
  readonly port?: number
}

function expectation({ text = '', pinned = [], port = 22 }: Given) {
  return { vmId: 'vm01', address: '10.0.0.10', port, pinned, store: HostKeyStore.parse('/etc/kh', text) }
}

/** The error for `key`; undefined where it is trusted. */
function judge(given: Given, key: HostKey = offered): RemexError | undefined {
  try {
    hostKeyVerifier(expectation(given))(key)
    return undefined
  } catch (error) {
    if (error instanceof RemexError) return error
    throw error
  }
}

describe('the host key verifier', () => {
  it.each<[string, Given, string | undefined]>([
    ['trusts a known key', { text: known }, undefined],
    ['refuses a key of a host that is not known', {}, 'HOST_KEY_UNKNOWN'],
    ['refuses another key than the known one', { text: `10.0.0.10 ${line(other)}\n` }, 'HOST_KEY_CHANGED'],
    ['refuses a key where only another type is known', { text: `10.0.0.10 ${line(rsa)}\n` }, 'HOST_KEY_CHANGED'],
    ['refuses a revoked key', { text: `@revoked * ${line(offered)}\n10.0.0.10 ${line(offered)}\n` }, 'HOST_KEY_REVOKED'],
    ['trusts a pinned fingerprint', { pinned: [fingerprint(offered.blob)] }, undefined],
    ['trusts a pinned fingerprint with padding', { pinned: [`${fingerprint(offered.blob)}=`] }, undefined],
    ['trusts a pinned public key', { pinned: [line(offered)] }, undefined],
    ['trusts a pinned public key with a comment', { pinned: [`${line(offered)} root@vm01`] }, undefined],
    ['trusts one of several pinned keys', { pinned: [line(rsa), fingerprint(offered.blob)] }, undefined],
    ['trusts a pinned key where the files know another', { pinned: [line(offered)], text: `10.0.0.10 ${line(other)}\n` }, undefined],
    ['refuses a key that is not pinned', { pinned: [line(other)] }, 'HOST_KEY_CHANGED'],
    ['refuses a key that the files know but is not pinned', { pinned: [line(other)], text: known }, 'HOST_KEY_CHANGED'],
    ['refuses a pinned key that the files revoke', { pinned: [line(offered)], text: `@revoked * ${line(offered)}\n` }, 'HOST_KEY_REVOKED'],
  ])('%s', (_sentence, given, code) => {
    expect(judge(given)?.code).toBe(code)
  })

  it('shows the fingerprint of an unknown key, and the commands to trust it with', () => {
    const error = judge({ port: 2222 })
    const shown = `vm01 (10.0.0.10 port 2222) shows the key ssh-ed25519 ${fingerprint(offered.blob)}`
    expect(error?.message).toBe(`${shown}, and no key is known for it`)
    expect(error?.hint).toContain(`remex hosts trust vm01 --fingerprint ${fingerprint(offered.blob)}`)
    expect(error).toMatchObject({ vmId: 'vm01', retryable: false, mayHaveRun: false })
    expect(error).toBeInstanceOf(HostKeyMismatchError)
  })

  it('shows both fingerprints of a changed key, with file and line, and the commands to replace it with', () => {
    const error = judge({ text: `# first\n10.0.0.10 ${line(other)}\n` })
    expect(error?.message).toContain(`shows the key ssh-ed25519 ${fingerprint(offered.blob)}`)
    expect(error?.message).toContain(`known is ssh-ed25519 ${fingerprint(other.blob)} (/etc/kh:2)`)
    expect(error?.hint).toContain(`remex hosts forget vm01, then remex hosts trust vm01 --fingerprint ${fingerprint(offered.blob)}`)
  })

  it('shows both fingerprints where the pinned key is another', () => {
    const error = judge({ pinned: [fingerprint(other.blob)] })
    expect(error?.message).toContain(fingerprint(offered.blob))
    expect(error?.message).toContain(`host_key in the configuration is ${fingerprint(other.blob)}`)
    expect(error?.hint).toContain('another type than ssh-ed25519')
  })

  it('says which line revokes a key', () => {
    expect(judge({ text: `\n@revoked * ${line(offered)}\n` })?.message).toContain('/etc/kh:2 marks as @revoked')
  })

  it('names a certificate authority that may vouch for the host, and what it needs', () => {
    const error = judge({ text: `@cert-authority * ${line(other)}\n` })
    expect(error?.code).toBe('HOST_KEY_UNKNOWN')
    expect(error?.hint).toContain('/etc/kh:1 names a certificate authority')
    expect(error?.hint).toContain('have its key signed, or: remex hosts trust vm01 --fingerprint ')
  })

  it('says which lines could not be understood where a host is unknown', () => {
    expect(judge({ text: `10.0.0.10 nonsense\nmore nonsense\n` })?.message).toContain('skipped: /etc/kh:1 and 1 more')
  })

  it('counts known keys that are too many to compare', () => {
    const text = Array.from({ length: 9 }, () => `10.0.0.10 ${line(sampleHostKey())}\n`).join('')
    expect(judge({ text })?.message).toMatch(/ and 5 more$/)
  })

  it('lets nothing that a server or a file says move the cursor', () => {
    const evil = { ...expectation({}), vmId: 'vm\u001b[2J', address: 'a\nb' }
    try {
      hostKeyVerifier(evil)({ type: 'x\u001b', blob: offered.blob })
      expect.unreachable()
    } catch (error) {
      expect(error).toMatchObject({ code: 'HOST_KEY_UNKNOWN' })
      expect(`${String(error)}${error instanceof RemexError ? error.hint : ''}`).not.toMatch(/[\u0000-\u001f]/)
    }
  })

  it.each(['', 'SHA256:short', 'MD5:16:27:ac:a5', 'ssh-ed25519', 'ssh-ed25519 AAAA', `ssh-rsa ${line(offered).split(' ')[1] ?? ''}`])(
    'refuses the pinned key "%s" before anything connects',
    (pin) => {
      expect(() => hostKeyVerifier(expectation({ pinned: [pin] }))).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
    },
  )
})

describe('the known keys of a host', () => {
  const keys = (given: Given): readonly HostKey[] => knownHostKeys(expectation(given))
  const text = `10.0.0.10 ${line(rsa)}\n10.0.0.10 ${line(offered)}\n`

  it('are those of the files, in their order, each once', () => {
    expect(keys({ text: `${text}10.0.0.* ${line(rsa)}\n` })).toEqual([rsa, offered])
  })

  it('are none where nothing is known', () => {
    expect(keys({})).toEqual([])
    expect(keys({ text: `10.0.0.11 ${line(rsa)}\n@cert-authority * ${line(other)}\n` })).toEqual([])
  })

  it('are those of its port, and those of port 22 where it has none of its own', () => {
    expect(keys({ text, port: 2222 })).toEqual([rsa, offered])
    expect(keys({ text: `${text}[10.0.0.10]:2222 ${line(other)}\n`, port: 2222 })).toEqual([other])
  })

  it('are the pinned public keys alone, in their order, each once', () => {
    expect(keys({ text, pinned: [line(other), `${line(offered)} comment`, line(other)] })).toEqual([other, offered])
  })

  it('are without a pinned fingerprint that no file has a key for', () => {
    expect(keys({ text, pinned: [fingerprint(other.blob)] })).toEqual([])
    expect(keys({ text, pinned: [fingerprint(other.blob), line(rsa)] })).toEqual([rsa])
  })

  it('are the file’s key for a pinned fingerprint, also where it is pinned as a public key too', () => {
    expect(keys({ text, pinned: [fingerprint(offered.blob)] })).toEqual([offered])
    expect(keys({ text, pinned: [fingerprint(offered.blob), line(offered)] })).toEqual([offered])
  })

  it('are without those that a file revokes, pinned or not', () => {
    const revoked = `${text}@revoked * ${line(offered)}\n`
    expect(keys({ text: revoked })).toEqual([rsa])
    expect(keys({ text: revoked, pinned: [line(offered), line(rsa)] })).toEqual([rsa])
    expect(keys({ text: revoked, pinned: [fingerprint(offered.blob)] })).toEqual([])
  })

  it('refuse a pinned key that is none', () => {
    expect(() => keys({ pinned: ['nonsense'] })).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  })
})

describe('the fingerprints of which no more is known', () => {
  const bare = (given: Given): readonly string[] => bareFingerprints(expectation(given))
  const pin = fingerprint(offered.blob)

  it.each<[string, Given, readonly string[]]>([
    ['are the pinned ones that no file has a key for', { text: `10.0.0.10 ${line(rsa)}\n`, pinned: [pin, fingerprint(rsa.blob)] }, [pin]],
    ['are not those of public keys', { pinned: [line(offered)] }, []],
    ['are not those of revoked keys, also where these are not known', { text: `@revoked * ${line(offered)}\n`, pinned: [pin] }, []],
    ['are none where nothing is pinned', { text: `10.0.0.10 ${line(rsa)}\n` }, []],
  ])('%s', (_sentence, given, expected) => {
    expect(bare(given)).toEqual(expected)
  })
})

describe('the authorities of a host', () => {
  const authorities = (given: Given): readonly HostKey[] => certAuthoritiesOf(expectation(given))
  const text = `@cert-authority 10.0.0.* ${line(rsa)}\n@cert-authority *.org ${line(offered)}\n@cert-authority * ${line(other)}\n`

  it('are those of the lines that name it, in their order, each once', () => {
    expect(authorities({ text: `${known}${text}@cert-authority *,!*.org ${line(rsa)}\n` })).toEqual([rsa, other])
  })

  it('are those that name it at its port', () => {
    expect(authorities({ text: `@cert-authority 10.0.0.10 ${line(rsa)}\n@cert-authority [10.0.0.10]:2222 ${line(other)}\n`, port: 2222 })).toEqual([other])
  })

  it('are none where its own keys are pinned', () => {
    expect(authorities({ text, pinned: [fingerprint(offered.blob)] })).toEqual([])
  })

  it('are without those that are revoked, for all hosts or for this one', () => {
    expect(authorities({ text: `${text}@revoked 10.0.0.10 ${line(rsa)}\n` })).toEqual([other])
    expect(authorities({ text: `${text}@revoked 10.0.0.11 ${line(rsa)}\n@revoked * ${line(other)}\n` })).toEqual([rsa])
  })
})

describe('the revoked keys of a host', () => {
  const revoked = (given: Given): readonly HostKey[] => revokedHostKeys(expectation(given))
  const text = `@revoked 10.0.0.10 ${line(rsa)}\n@revoked [10.0.0.10]:2222 ${line(other)}\n@revoked * ${line(offered)}\n@revoked *.org ${line(sampleHostKey())}\n`

  it('are those of its name, each once', () => {
    expect(revoked({ text: `${text}@revoked 10.0.0.* ${line(rsa)}\n` })).toEqual([rsa, offered])
  })

  it('are those of its name at its port, and of the plain name too', () => {
    expect(revoked({ text, port: 2222 })).toEqual([other, offered, rsa])
  })

  it('are the same where keys are pinned', () => {
    expect(revoked({ text, pinned: [line(rsa)] })).toEqual([rsa, offered])
  })
})
