import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { draft } from '../../src/audit/draft.ts'
import { MAX_LINE_BYTES, parseRecord, readLine, START, writeLine } from '../../src/audit/line.ts'
import { Secret } from '../../src/core/secret.ts'

const TIME = '2026-01-31T12:00:00.000Z'
/** What must not stand in a line: what a terminal obeys, what cannot be seen, half characters. */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ud800-\udfff\u{e0000}-\u{e007f}]/u

/** A string of whole and half characters of every kind. */
const anyText = fc.string({ unit: fc.oneof(fc.string({ unit: 'binary', maxLength: 3 }), fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code))) })

describe('a line of the log', () => {
  it('is one line that verifies and parses to the fields that went in, whatever they are', () => {
    fc.assert(
      fc.property(anyText, anyText, fc.array(anyText, { maxLength: 3 }), (user_id, command, env_names) => {
        const fields = { user_id, command, local: command, remote: user_id, env_names, reason: command }
        const { text, position } = writeLine(draft('begin', TIME, fields), START)
        const line = Buffer.from(text.slice(0, -1))
        expect(text.indexOf('\n')).toBe(text.length - 1)
        expect(UNSAFE.test(text.slice(0, -1))).toBe(false)
        expect(parseRecord(line)).toEqual({ seq: 1, time: TIME, event: 'begin', ...fields, prev: START.hash, hash: position.hash })
        expect(readLine(line)).toMatchObject({ kind: 'record', position, prev: START.hash })
      }),
    )
  })

  const CHARACTERS: [string, string, string][] = [
    ['a newline', '\n', String.raw`\n`],
    ['an invisible character that is not assigned yet', '\u{e0002}', String.raw`\udb40\udc02`],
    ['an escape', '\u001b[2J', String.raw`\u001b[2J`],
    ['a delete', '\u007f', String.raw`\u007f`],
    ['a C1 control', '\u009b', String.raw`\u009b`],
    ['a line separator', '\u2028', String.raw`\u2028`],
    ['a right-to-left override', '\u202e', String.raw`\u202e`],
    ['a bidirectional isolate', '\u2066', String.raw`\u2066`],
    ['a zero-width space', '\u200b', String.raw`\u200b`],
    ['a byte order mark', '\ufeff', String.raw`\ufeff`],
    ['a tag character beyond the first plane', '\u{e0041}', String.raw`\udb40\udc41`],
    ['half of a pair', '\ud800', String.raw`\ud800`],
  ]
  it.each(CHARACTERS)('has %s as an escape', (_, character, escape) => {
    expect(writeLine(draft('begin', TIME, { command: `a${character}b` }), START).text).toContain(`"command":"a${escape}b"`)
  })

  it('shows letters of other scripts as they are', () => {
    expect(writeLine(draft('begin', TIME, { command: 'żółć 日本 🙂' }), START).text).toContain('żółć 日本 🙂')
  })

  it('has the fields in the order of the documentation, whatever order they came in', () => {
    const fields = { killed: null, status: 'success', env_names: [], command: 'x', vm_id: 'vm01', user_id: 'u', op_id: 'o' } as const
    const { text } = writeLine(draft('finish', TIME, fields), START)
    expect(Object.keys(JSON.parse(text))).toEqual('seq time event op_id user_id vm_id command env_names status killed prev hash'.split(' '))
  })

  it('has a hash that sed and sha256sum compute as well', () => {
    const { text, position } = writeLine(draft('begin', TIME, { command: 'printf "ż\u2028"' }), START)
    const directory = mkdtempSync(join(tmpdir(), 'remex-line-'))
    try {
      writeFileSync(join(directory, 'audit.jsonl'), text)
      const byHand = `sed -n 1p audit.jsonl | sed -E 's/,"hash":"[0-9a-f]{64}"\\}$/}/' | tr -d '\\n' | sha256sum`
      expect(execFileSync('sh', ['-c', byHand], { cwd: directory, encoding: 'utf8' }).slice(0, 64)).toBe(position.hash)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  it('stays under the longest line with every field at its bound and every character an escape', () => {
    const long = '\u0001'.repeat(100_000)
    const texts = 'op_id run_id user_id os_user vm_id address login operation command local remote error_code engine kex cipher host_key sha256 reason'
    const fields = Object.fromEntries(texts.split(' ').map((name) => [name, long]))
    const more = { env_names: Array<string>(1000).fill(long), killed: { ended: 1, survivors: Array<number>(5000).fill(4_194_304), scope: 'tree' as const } }
    const { text } = writeLine(draft('finish', TIME, { ...fields, ...more }), START)
    expect(Buffer.byteLength(text)).toBeLessThan(MAX_LINE_BYTES)
    expect(readLine(Buffer.from(text.slice(0, -1))).kind).toBe('record')
  })
})

describe('a command over 16 KiB', () => {
  it('is cut with a mark, and its length and hash are recorded', () => {
    const made = draft('begin', TIME, { command: 'x'.repeat(20_000) })
    expect(made.command).toBe(`${'x'.repeat(16_384)}…[cut]`)
    expect(made.command_bytes).toBe(20_000)
    expect(made.command_sha256).toBe('42e8bc96b8eec8c4e5d503483ba0cb843ce95243c8ca8575ffc69cd25d12c61c')
  })

  it('is never cut inside a character', () => {
    expect(draft('begin', TIME, { command: `x${'🙂'.repeat(5000)}` }).command).toBe(`x${'🙂'.repeat(4095)}…[cut]`)
  })

  it('is masked before it is cut, so that no half of a secret is left', () => {
    const made = draft('begin', TIME, { command: `${'x'.repeat(16_380)}hunter2${'x'.repeat(100)}`, secrets: [new Secret('hunter2')] })
    expect(made.command).not.toContain('hunt')
    expect(made).not.toHaveProperty('secrets')
  })

  it('of exactly 16 KiB is whole', () => {
    const command = 'x'.repeat(16_384)
    expect(draft('begin', TIME, { command })).toEqual({ time: TIME, event: 'begin', command })
  })
})

describe('what is not a record', () => {
  const record = writeLine(draft('begin', TIME, { command: 'x' }), START).text.slice(0, -1)
  const CASES: [string, string, ReturnType<typeof readLine>][] = [
    ['nothing', '', { kind: 'not_json' }],
    ['zeros, as a lost page leaves them', '\0'.repeat(4096), { kind: 'not_json' }],
    ['half a record', record.slice(0, 40), { kind: 'not_json' }],
    ['another value', '[]', { kind: 'altered', seq: undefined }],
    ['a record with another field at the end', record.replace(/\}$/, ',"x":1}'), { kind: 'altered', seq: 1 }],
    ['a record with a space', record.replace(':', ': '), { kind: 'altered', seq: 1 }],
    ['a record with an upper-case hash', record.replace(/[0-9a-f]{64}"\}$/, (hash) => hash.toUpperCase()), { kind: 'altered', seq: 1 }],
    ['a record with a carriage return behind it', `${record}\r`, { kind: 'altered', seq: 1 }],
  ]
  it.each(CASES)('%s is told from one', (_, line, content) => {
    expect(readLine(Buffer.from(line))).toEqual(content)
  })

  it('a field of another type than it has makes the line no record', () => {
    for (const change of [{ command: 1 }, { env_names: 'x' }, { killed: {} }, { user_id: null }, { seq: '1' }, { prev: undefined }]) {
      expect(parseRecord(Buffer.from(JSON.stringify({ ...JSON.parse(record), ...change })))).toBeUndefined()
    }
  })

  it('a field that is not known is let through', () => {
    expect(parseRecord(Buffer.from(JSON.stringify({ ...JSON.parse(record), later: { any: 1 } })))).toHaveProperty('later')
  })
})
