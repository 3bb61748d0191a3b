import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatHostKey } from '../../src/core/host-key.ts'
import { knownHostsLines, parseKnownHostsLine } from '../../src/keys/known-hosts-line.ts'
import { hashedName, sampleHostKey } from './host-key-samples.ts'

const key = sampleHostKey()
const text = formatHostKey(key)

const gap = fc.constantFrom(' ', '\t', '  ', ' \t ')
const names = fc.oneof(
  fc.constantFrom('vm01', 'a,b,c', '*,!x', '[h]:22', '::1', hashedName('x')),
  fc.stringMatching(/^[a-z][a-z0-9.,*?-]{0,20}$/),
)
const entry = fc
  .record({
    indent: fc.constantFrom('', ' ', '\t'),
    marker: fc.constantFrom('', '@revoked', '@cert-authority'),
    names,
    gap,
    comment: fc.constantFrom('', ' c', ' a b\r', '\r'),
  })
  .map(({ indent, marker, names: list, gap: blank, comment }) => ({
    marker: marker.slice(1) || 'none',
    names: list,
    line: `${indent}${marker}${marker && blank}${list}${blank}${text.replace(' ', blank)}${comment}`,
  }))
const anyLine = fc.oneof(
  entry.map(({ line }) => line),
  fc.string({ unit: 'binary', maxLength: 60 }).map((line) => line.replaceAll('\n', '')),
  fc.constantFrom('', '#', '@', '\r'),
)

describe('a line of a known_hosts file', () => {
  it('is understood in every form an entry may have', () => {
    fc.assert(
      fc.property(entry, ({ line, marker, names: list }) => {
        expect(parseKnownHostsLine(line)).toMatchObject({ kind: 'entry', marker, names: list, key: { type: key.type } })
      }),
    )
  })

  it('is what its head, names and tail make together', () => {
    fc.assert(
      fc.property(anyLine, (line) => {
        const parsed = parseKnownHostsLine(line)
        if (parsed.kind === 'entry') expect(parsed.head + parsed.names + parsed.tail).toBe(line)
      }),
    )
  })

  it('has the key of the text, whatever is around it', () => {
    const tail = ` ${text} somebody@somewhere\r`
    const parsed = parseKnownHostsLine(`  @revoked vm01,vm02${tail}`)
    expect(parsed).toEqual({ kind: 'entry', marker: 'revoked', head: '  @revoked ', names: 'vm01,vm02', tail, key })
  })

  it('is not confused by names that look like a part of the marker', () => {
    expect(parseKnownHostsLine(`@revoked d,e ${text}`)).toMatchObject({ marker: 'revoked', head: '@revoked ', names: 'd,e' })
    expect(parseKnownHostsLine(`@revoked revoked ${text}`)).toMatchObject({ marker: 'revoked', head: '@revoked ', names: 'revoked' })
  })
})

describe('the lines of a known_hosts file', () => {
  it('are all there, numbered, and make the file again', () => {
    fc.assert(
      fc.property(fc.array(anyLine, { maxLength: 20 }), fc.boolean(), (lines, ended) => {
        const file = lines.join('\n') + (ended ? '\n' : '')
        const found = [...knownHostsLines(file)]
        expect(found.map(({ number }) => number)).toEqual(found.map((_, index) => index + 1))
        expect(found.map(({ start, end }) => file.slice(start, end)).join('\n') + (file.endsWith('\n') ? '\n' : '')).toBe(file)
      }),
    )
  })
})
