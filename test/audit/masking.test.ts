import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Mask } from '../../src/audit/masking/mask.ts'
import { quoteWord } from '../../src/core/quote.ts'
import { Secret } from '../../src/core/secret.ts'

const maskOf = (values: readonly string[], patterns: readonly RegExp[] = []): Mask => new Mask(values.map((value) => new Secret(value)), patterns)

/** What a stream gives for these bytes in chunks of these lengths, again and again. */
function streamed(mask: Mask, bytes: Buffer, lengths: readonly number[]): Buffer {
  const stream = mask.stream()
  const given: Buffer[] = []
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const length = lengths[turn % lengths.length] ?? 1
    given.push(stream.push(bytes.subarray(at, at + length)))
    at += length
  }
  return Buffer.concat([...given, stream.end()])
}

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const base64url = (text: string): string => Buffer.from(text).toString('base64url')

describe('a mask of values', () => {
  const cases: readonly (readonly [string, string, readonly string[], string])[] = [
    ['a value that stands once', 'login --token hunter2 now', ['hunter2'], 'login --token [secret] now'],
    ['a value that stands twice', 'x x', ['x'], '[secret] [secret]'],
    ['the longer of two values that begin alike', 'abcdef abc', ['abc', 'abcdef'], '[secret] [secret]'],
    ['values that overlap, without a rest of either', 'abcd', ['abc', 'bcd'], '[secret]'],
    ['a value that repeats itself', 'aaa', ['aa'], '[secret]'],
    ['values that touch, as one', 'onetwo', ['one', 'two'], '[secret]'],
    ['a value that is a part of the placeholder, once only', 'a secret thing', ['secret'], 'a [secret] thing'],
    ['characters that a pattern would read', 'a.*b', ['.*'], 'a[secret]b'],
    ['letters that are not ASCII', 'pass żółć!', ['żółć'], 'pass [secret]!'],
    ['a value of one byte at the end', 'is x', ['x'], 'is [secret]'],
    ['a quote as bash and Remex write it', String.raw`echo 'it'\''s'`, ["it's"], "echo '[secret]'"],
    ['a quote as Python writes it', `echo 'it'"'"'s'`, ["it's"], "echo '[secret]'"],
    ['several quotes as dash writes them', `echo 'it'"'''"'s'`, ["it'''s"], "echo '[secret]'"],
    ['a value in double quotes', String.raw`echo "\$a\"\\\`"`, ['$a"\\`'], 'echo "[secret]"'],
    ['a value behind backslashes', String.raw`echo a\ b\$\;`, ['a b$;'], 'echo [secret]'],
    ["a value in $'…'", String.raw`echo $'a\nb\'\303\251\E'`, ["a\nb'é\u001b"], "echo $'[secret]'"],
    ['a quote in a value of three bytes', String.raw`'x'\''y'`, ["x'y"], "'[secret]'"],
    ['base64 of the value', `key: ${base64('hunter2')}.`, ['hunter2'], 'key: [secret].'],
    ['base64 without padding', `key: ${base64url('hunter2!')}.`, ['hunter2!'], 'key: [secret].'],
    ['a value behind a user in HTTP Basic, and not the user', `Basic ${base64('user:hunter2')}`, ['hunter2'], `Basic ${base64('user:').slice(0, 6)}[secret]`],
    ['base64 with characters of either alphabet', `${base64('~~??>>')} ${base64url('~~??>>')}`, ['~~??>>'], '[secret] [secret]'],
    ['base64 that a URL holds', encodeURIComponent(base64('~~??>>>')), ['~~??>>>'], '[secret]'],
    ['a value that a URL holds', `?q=${encodeURIComponent('a b&c/d')}&x`, ['a b&c/d'], '?q=[secret]&x'],
    ['a URL with lower-case digits', '?q=a%2fb%c3%a9', ['a/bé'], '?q=[secret]'],
    ['a URL that encodes what it need not', "a%27%28%29%2A%21", ["a'()*!"], '[secret]'],
    ['a value that a form holds', 'p=a+b%2Bc%7E&x', ['a b+c~'], 'p=[secret]&x'],
    ['a value that JSON holds', JSON.stringify({ p: 'a"b\\c\nd' }), ['a"b\\c\nd'], '{"p":"[secret]"}'],
    ['JSON in ASCII', String.raw`{"p":"\u017c\/\uD83D\uDE00\u003c"}`, ['ż/😀<'], '{"p":"[secret]"}'],
    ['lines as a terminal writes them', 'a\r\nb', ['a\nb'], '[secret]'],
    ['a value with a NUL', 'a\0b', ['\0'], 'a[secret]b'],
    ['a lone surrogate, which is U+FFFD in bytes', 'a\ud800b', ['\ud801'], 'a[secret]b'],
  ]
  it.each(cases)('hides %s', (_sentence, text, values, expected) => {
    expect(maskOf(values).mask(text)).toBe(expected)
    expect(streamed(maskOf(values), Buffer.from(text), [1]).toString()).toBe(expected)
  })

  const left: readonly (readonly [string, string, readonly string[]])[] = [
    ['a text where there is no secret', 'echo', []],
    ['a text for an empty value', 'echo', ['']],
    ['a part of a value', 'hunter', ['hunter2']],
    ['the base64 of a value of less than four bytes', base64('abc'), ['abc']],
    ['base64 whose border belongs to another value', base64('hunter3'), ['hunter2']],
    ['lone surrogates', 'a\ud800b', ['hunter2']],
  ]
  it.each(left)('leaves %s', (_sentence, text, values) => {
    expect(maskOf(values).mask(text)).toBe(text)
  })
})

describe('a mask of patterns', () => {
  const cases: readonly (readonly [string, string, readonly RegExp[], string])[] = [
    ['hides all that it matches', 'a AKIA12 b AKIA34', [/AKIA\d+/], 'a [secret] b [secret]'],
    ['hides only its group named secret', 'set user=ada pass=x', [/(user)=\w+ pass=(?<secret>\w+)/], 'set user=ada pass=[secret]'],
    ['hides only its first group', 'token=abc!', [/token=(\w+)(!)/], 'token=[secret]!'],
    ['hides the whole match where the group took no part', 'a=1 b=2', [/a=(\d)|b=\d/], 'a=[secret] [secret]'],
    ['hides nothing where the group is empty', 'token= x', [/token=(\w*)/], 'token= x'],
    ['hides nothing by an empty match, and goes on', 'aba', [/b*/], 'a[secret]a'],
    ['is applied to each line by itself', 'p: a\np: b\r\nc', [/^p: ([^]*)$/], 'p: [secret]\np: [secret]\r\nc'],
    ['keeps its flags', 'Token=ABC', [/token=(\w+)/iy], 'Token=[secret]'],
    ['reads characters, not bytes', 'name=żółw;', [/name=(\p{L}+)/u], 'name=[secret];'],
    ['cuts no character in two behind what it hides', 'x😀y', [/x(.)/], 'x[secret]y'],
    ['cuts no character in two before what it hides', 'x😀y', [/x.(.)/], 'x[secret]y'],
    ['makes one placeholder of what overlaps', 'token=abcdef', [/token=(\w{4})/, /cdef/], 'token=[secret]'],
  ]
  it.each(cases)('%s', (_sentence, text, patterns, expected) => {
    expect(maskOf([], patterns).mask(text)).toBe(expected)
    expect(streamed(maskOf([], patterns), Buffer.from(text), [1]).toString()).toBe(expected)
  })

  it('makes one placeholder of a match and a value that touch', () => {
    expect(maskOf(['hunter2'], [/id=\d+/]).mask('id=1hunter2 ok')).toBe('[secret] ok')
  })

  it('reads a line that is not UTF-8 byte by byte, and the line after it as it is', () => {
    const bytes = Buffer.concat([Buffer.from([0xff, 0x80]), Buffer.from('k=a\nk=é.')])
    const shown = streamed(maskOf([], [/k=(\w|\p{L}+)/u]), bytes, [3])
    expect(shown).toEqual(Buffer.concat([Buffer.from([0xff, 0x80]), Buffer.from('k=[secret]\nk=[secret].')]))
  })

  it('leaves the patterns that it was given as they were', () => {
    const pattern = /a/g
    pattern.lastIndex = 3
    maskOf([], [pattern]).mask('aaaa')
    expect(pattern.lastIndex).toBe(3)
  })

  describe('in a line of more than 64 KiB', () => {
    const filled = (length: number): string => 'é'.repeat(length)
    const long: readonly (readonly [string, string, string])[] = [
      ['finds a match in the middle', `${filled(90_000)} k=abc ${filled(90_000)}`, `${filled(90_000)} k=[secret] ${filled(90_000)}`],
      ['finds a match over the end of a window', `${filled(32_766)} k=${'x'.repeat(30_000)} y`, `${filled(32_766)} k=[secret] y`],
      ['hides the rest of the line behind a match that is too long', `k=${'x'.repeat(200_000)} y\nz`, 'k=[secret]\nz'],
      ['hides the rest of a line that does not end', `k=${'x'.repeat(200_000)} y`, 'k=[secret]'],
      ['reads characters where the window ends inside of one', `a${filled(10_000)} k=żółć ${filled(60_000)}`, `a${filled(10_000)} k=[secret] ${filled(60_000)}`],
      ['finds a match at the end', `${filled(50_000)} k=abc`, `${filled(50_000)} k=[secret]`],
    ]
    it.each(long)('%s', (_sentence, text, expected) => {
      const mask = maskOf([], [/k=([\wżółć]+)/])
      for (const length of [1000, 32_768, 65_536, 65_537, 1_000_000]) expect(streamed(mask, Buffer.from(text), [length]).toString() === expected).toBe(true)
    })

    it('holds back 64 KiB, not more', () => {
      const stream = maskOf([], [/k=(\w+)/]).stream()
      let held = 0
      for (let turn = 0; turn < 1000; turn++) {
        held += 1000 - stream.push(Buffer.alloc(1000, 'x')).length
        expect(held).toBeLessThanOrEqual(65_536)
      }
    })
  })
})

describe('a stream', () => {
  it('passes on as they are the chunks of a mask of nothing', () => {
    const stream = maskOf(['']).stream()
    const chunk = Buffer.from('x')
    expect(stream.push(chunk)).toBe(chunk)
    expect(stream.end()).toHaveLength(0)
  })

  it('shows at once what cannot be the beginning of a secret', () => {
    const stream = maskOf(['hunter2']).stream()
    expect(stream.push(Buffer.from('password? ')).toString()).toBe('password? ')
    expect(stream.push(Buffer.from('a hunt')).toString()).toBe('a ')
    expect(stream.push(Buffer.from('ing ')).toString()).toBe('hunting ')
    expect(stream.push(Buffer.from('hunter2')).toString()).toBe('[secret]')
  })

  it('shows at its end what was only the beginning of a secret', () => {
    const stream = maskOf(['hunter2']).stream()
    stream.push(Buffer.from('a hunt'))
    expect(stream.end().toString()).toBe('hunt')
  })

  it('shows a line when it is at its end, where there are patterns', () => {
    const stream = maskOf([], [/k=(\S+)/]).stream()
    expect(stream.push(Buffer.from('a\nk=')).toString()).toBe('a\n')
    expect(stream.push(Buffer.from('b\nc')).toString()).toBe('k=[secret]\n')
    expect(stream.end().toString()).toBe('c')
  })

  it('does not see when a chunk is used again', () => {
    const stream = maskOf(['hunter2']).stream()
    const chunk = Buffer.from('hunt')
    stream.push(chunk)
    chunk.fill('x')
    expect(stream.push(Buffer.from('er2')).toString()).toBe('[secret]')
  })

  it('makes one placeholder of values that touch, in whatever chunks they come', () => {
    for (const length of [1, 2, 3, 7]) expect(streamed(maskOf(['one', 'two']), Buffer.from('onetwo one'), [length]).toString()).toBe('[secret] [secret]')
  })
})

/** Values rich in what is quoted and encoded. A NUL, which no shell can carry, is a case above. */
const value = fc.oneof(
  fc.string({ unit: fc.constantFrom(...'ab1\'"\\$`!%+/=?&~ \n\r\t\u001b\u007fé€😀'), minLength: 1, maxLength: 10 }),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 12 }).map((text) => text.replaceAll('\0', 'x')),
  fc.string({ unit: fc.constantFrom('x', 'y', "'", ' '), minLength: 1, maxLength: 4 }),
  fc.base64String({ minLength: 4, maxLength: 40 }),
)

const lowerCaseHex = (url: string): string => url.replaceAll(/%../g, (code) => code.toLowerCase())
const json = (text: string): string => JSON.stringify(text).slice(1, -1)
const asciiJson = (text: string): string => json(text).replaceAll(/[^ -~]/g, (unit) => String.raw`\u` + unit.charCodeAt(0).toString(16).padStart(4, '0'))
const strictUrl = (text: string): string => encodeURIComponent(text).replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)

/** The forms of a value, made by others than the mask. */
function formsOf(text: string): readonly string[] {
  const encoded = ['', 'u', 'u:'].flatMap((user) => [base64(user + text), base64url(user + text), base64(user + text).replaceAll('=', '')].map((whole) => whole.slice(user.length)))
  return [
    text,
    quoteWord(text).replaceAll(/^'|'$/g, ''),
    text.replaceAll("'", `'"'"'`),
    text.replaceAll(/["\\$`!]/g, String.raw`\$&`),
    text.replaceAll(/[!-/:-@[-^`{-~ ]/g, String.raw`\$&`),
    encodeURIComponent(text),
    lowerCaseHex(encodeURIComponent(text)),
    strictUrl(text),
    lowerCaseHex(strictUrl(text)),
    new URLSearchParams([['', text]]).toString().slice(1),
    json(text),
    json(text).replaceAll('/', String.raw`\/`),
    asciiJson(text),
    ...(Buffer.byteLength(text) < 4 ? [] : encoded),
  ]
}

const chunks = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 })

describe('for all values, surroundings and chunks', () => {
  it('a stream shows no form of any value, and the same as the whole', () => {
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 3 }), fc.array(fc.tuple(fc.string({ maxLength: 5 }), fc.nat(), fc.nat())), chunks, (values, around, lengths) => {
        const forms = values.map(formsOf)
        const pick = <T>(list: readonly T[], at: number): T | undefined => list[at % list.length]
        const written = around.map(([text, one, form]) => text + (pick(pick(forms, one) ?? [], form) ?? '')).join('')
        const mask = maskOf(values)
        const whole = mask.mask(written)
        const inSight = whole.split('[secret]').filter((piece) => forms.flat().some((form) => piece.includes(form)))
        expect(inSight).toEqual([])
        expect(streamed(mask, Buffer.from(written), lengths).toString()).toBe(Buffer.from(whole).toString())
      }),
      { numRuns: 500 },
    )
  })

  it('in base64 of a longer text all characters that carry bits of the value are hidden, and no other', () => {
    const other = fc.uint8Array({ max: 31, maxLength: 7 }).map((bytes) => Buffer.from(bytes).toString('latin1'))
    const marked = fc.string({ minLength: 4, maxLength: 12, unit: 'grapheme' }).map((text) => `<${text.replaceAll(/[<>]/g, '-')}>`)
    fc.assert(
      fc.property(other, marked, other, fc.constantFrom('base64' as const, 'base64url' as const), (before, text, after, alphabet) => {
        const written = Buffer.from(before + text + after).toString(alphabet)
        const first = Math.floor((before.length * 8) / 6)
        const end = after === '' ? written.length : Math.ceil(((before.length + Buffer.byteLength(text)) * 8) / 6)
        expect(maskOf([text]).mask(`.${written}.`)).toBe(`.${written.slice(0, first)}[secret]${written.slice(end)}.`)
      }),
    )
  })

  it('what is not secret comes out byte for byte, also where it is not UTF-8', () => {
    const plain = fc.uint8Array({ min: 0x80, minLength: 1, maxLength: 6 }).map((bytes) => Buffer.from(bytes))
    const word = fc.stringMatching(/^[a-z]{4,12}$/)
    fc.assert(
      fc.property(word, fc.array(fc.tuple(plain, fc.constantFrom('raw', 'base64')), { maxLength: 6 }), plain, chunks, (text, parts, last, lengths) => {
        const written = parts.flatMap(([bytes, form]) => [bytes, Buffer.from(form === 'raw' ? text : base64(text))])
        const expected = parts.flatMap(([bytes]) => [bytes, Buffer.from('[secret]')])
        expect(streamed(maskOf([text]), Buffer.concat([...written, last]), lengths)).toEqual(Buffer.concat([...expected, last]))
      }),
    )
  })

  it('bytes without a secret come out as they went in', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), chunks, (bytes, lengths) => {
        const mask = maskOf(['correct horse battery staple', "it's 100% $ecret"], [/correct (horse) battery/])
        expect(streamed(mask, Buffer.from(bytes), lengths)).toEqual(Buffer.from(bytes))
      }),
    )
  })

  it('a stream with patterns shows the same as the whole', () => {
    const text = fc.string({ unit: fc.constantFrom('k', '=', 'x', 'é', ' ', '\n', '\r', '😀'), maxLength: 80 })
    fc.assert(
      fc.property(text, chunks, (written, lengths) => {
        const mask = maskOf(['x=x', 'é\né'], [/k=(\S+)/, /(?<secret>é+)k/, /^x.$/])
        expect(streamed(mask, Buffer.from(written), lengths).toString()).toBe(mask.mask(written))
      }),
    )
  })
})

const hasBash = spawnSync('bash', ['-c', 'exit 0']).status === 0

describe.skipIf(!hasBash).each(['C', 'C.UTF-8'])('what bash writes in the locale %s', (locale) => {
  const values = fc.sample(value, 300)
  const inBash = (script: string): Buffer => spawnSync('bash', ['-c', script, 'bash', ...values], { env: { ...process.env, LC_ALL: locale }, maxBuffer: 1 << 24 }).stdout

  it.each([
    ["printf '%q'", String.raw`for one; do printf '%q\0' "$one"; done`],
    ['declare -p', String.raw`for one; do declare -p one; printf '\0'; done`],
    ['a trace', String.raw`exec 2>&1; PS4=; for one; do set -x; : "$one"; { set +x; printf '\0'; } 2>/dev/null; done`],
  ])('by %s is hidden', (_way, script) => {
    const written = inBash(script).toString().split('\0').slice(0, -1)
    expect(written).toHaveLength(values.length)
    const inSight = written.filter((text, at) => !maskOf([values[at] ?? '']).mask(text).includes('[secret]'))
    expect(inSight).toEqual([])
  })
})
