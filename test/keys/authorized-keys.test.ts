import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatHostKey, parseHostKey, type HostKey } from '../../src/core/host-key.ts'
import { authorizedKeys, withKey, withoutKeys } from '../../src/keys/authorized-keys.ts'
import { makeKeyPair } from '../../testkit/keys.ts'

const keys = ['ed25519', 'ecdsa', 'rsa', 'ed25519'].map((kind) => keyOf(makeKeyPair(kind as 'ed25519').publicKey))
const [own, ecdsa, rsa, other] = keys as [HostKey, HostKey, HostKey, HostKey]

function keyOf(line: string): HostKey {
  const key = parseHostKey(line)
  if (!key) throw new Error('no key')
  return key
}

describe('the keys of an authorized_keys file', () => {
  it.each<[string, string, string, string]>([
    ['a plain line', `${formatHostKey(own)} ada@home`, '', 'ada@home'],
    ['a line without a comment', formatHostKey(own), '', ''],
    ['a comment of several words', `${formatHostKey(own)}  Ada  Lovelace `, '', 'Ada  Lovelace'],
    ['white space before it', `\t ${formatHostKey(own)} x`, '', 'x'],
    ['options', `no-pty,from="10.0.0.1" ${formatHostKey(own)} x`, 'no-pty,from="10.0.0.1"', 'x'],
    ['options with spaces and quotes in quotes', `command="echo \\"a b\\" , c",no-pty ${formatHostKey(own)} x`, 'command="echo \\"a b\\" , c",no-pty', 'x'],
    ['an option that looks like a key', `command="${formatHostKey(other)}" ${formatHostKey(own)}`, `command="${formatHostKey(other)}"`, ''],
    ['the end of a line of DOS', `${formatHostKey(own)} x\r`, '', 'x'],
  ])('are read from %s', (_, line, options, comment) => {
    expect(authorizedKeys(line)).toEqual([{ key: own, options, comment, line: 1 }])
  })

  it.each([
    ['a comment', `# ${formatHostKey(own)}`],
    ['an empty line', ''],
    ['a type without a key', 'ssh-ed25519'],
    ['a key that is not base64', `ssh-ed25519 !${formatHostKey(own)}`],
    ['an option without its end', `from="10.0.0.1 ${formatHostKey(own)}`],
    ['a key behind two words', `a b ${formatHostKey(own)}`],
  ])('are none in %s', (_, line) => {
    expect(authorizedKeys(line)).toEqual([])
  })

  it('are numbered by their lines', () => {
    expect(authorizedKeys(`# a\n\n${formatHostKey(own)}\nrubbish\n${formatHostKey(rsa)}`).map(({ line }) => line)).toEqual([3, 5])
  })
})

describe('a key', () => {
  const added = { key: own, options: '', comment: 'remex-vm01-2026-01-31' }
  const line = `${formatHostKey(own)} remex-vm01-2026-01-31\n`

  it('is added at the end, also behind a line without its newline', () => {
    expect(withKey('', added)).toBe(line)
    expect(withKey(`${formatHostKey(rsa)} ada`, added)).toBe(`${formatHostKey(rsa)} ada\n${line}`)
    expect(withKey(`${formatHostKey(rsa)} ada\n`, added)).toBe(`${formatHostKey(rsa)} ada\n${line}`)
  })

  it('is not added twice, whatever its options and comment', () => {
    const text = `no-pty ${formatHostKey(own)} by hand`
    expect(withKey(text, added)).toBe(text)
  })

  it('is added where only a comment has it', () => {
    expect(withKey(`# ${formatHostKey(own)}\n`, added)).toBe(`# ${formatHostKey(own)}\n${line}`)
  })

  it('gets the options that it is to have', () => {
    expect(withKey('', { ...added, options: 'from="10.0.0.1"' })).toBe(`from="10.0.0.1" ${line}`)
  })

  it('is taken out in all its lines, and all others stay byte for byte', () => {
    const before = `# who\r\n${formatHostKey(rsa)} ada\xff\n\nrubbish`
    const text = `${formatHostKey(own)}\n${before}\nno-pty ${formatHostKey(own)} again\n${formatHostKey(ecdsa)}`
    const { text: left, removed } = withoutKeys(text, [own])
    expect(left).toBe(`${before}\n${formatHostKey(ecdsa)}`)
    expect(removed.map(({ line: number, options }) => [number, options])).toEqual([[1, ''], [6, 'no-pty']])
  })

  it('that was added and taken out leaves what was there, but for the newline at the end', () => {
    const lines = fc.array(fc.oneof(fc.string({ unit: 'binary-ascii' }).map((text) => text.replaceAll('\n', '')), fc.constantFrom(...keys.slice(1).map(formatHostKey))))
    fc.assert(fc.property(lines, fc.boolean(), (texts, isWhole) => {
      const text = texts.join('\n') + (isWhole ? '\n' : '')
      const there = withKey(text, added)
      expect(authorizedKeys(there).filter(({ key }) => key.blob.equals(own.blob))).toHaveLength(1)
      const { text: left } = withoutKeys(there, [own])
      expect([text, `${text}\n`]).toContain(left)
    }))
  })
})
