/** What stands for a control character behind a backslash, in C, JSON and `$'…'` of a shell. */
const NAMED: Readonly<Record<string, readonly string[]>> = {
  '\u0007': [String.raw`\a`],
  '\b': [String.raw`\b`],
  '\t': [String.raw`\t`],
  // A terminal writes a line's end as two characters.
  '\n': [String.raw`\n`, '\r\n'],
  '\v': [String.raw`\v`],
  '\f': [String.raw`\f`],
  '\r': [String.raw`\r`],
  '\u001b': [String.raw`\e`, String.raw`\E`],
}

/** A quote inside single quotes: as bash and Remex write it, as Python does, and as dash does at either end of several. */
const SINGLE_QUOTE: readonly string[] = [String.raw`'\''`, `'"'"'`, `'"'`]

/**
 * How a character is written: as it is, and as shells, URLs, forms and JSON write it. Letters, digits and `_` only as they are:
 * nothing that quotes a text changes them.
 */
export function spellings(char: string): readonly string[] {
  if (/^\w$/.test(char)) return [char]
  const bytes = [...Buffer.from(char)]
  const units = Array.from({ length: char.length }, (_, at) => char.charCodeAt(at))
  return [
    char,
    ...(/^[ -~]$/.test(char) ? [`\\${char}`] : []),
    ...(char === "'" ? SINGLE_QUOTE : []),
    ...(char === ' ' ? ['+'] : []),
    ...(NAMED[char] ?? []),
    bytes.map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join(''),
    ...inHex(bytes, '%', 2),
    ...inHex(bytes, String.raw`\x`, 2),
    ...inHex(units, String.raw`\u`, 4),
  ]
}

/** The numbers in hex of so many digits, each with the mark before it: in lower and in upper case. */
function inHex(numbers: readonly number[], mark: string, digits: number): readonly string[] {
  const hex = numbers.map((number) => number.toString(16).padStart(digits, '0'))
  return [hex, hex.map((digit) => digit.toUpperCase())].map((written) => written.map((digit) => mark + digit).join(''))
}
