import { spellings } from './spelling.ts'

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

/**
 * `bytes` in the base64 of a longer text in which `before` bytes (0, 1 or 2, more count by threes) stand before them: the ways to
 * write each character. The first and the last share their bits with what stands beside the bytes, so there are several.
 */
export function base64Parts(bytes: Buffer, before: 0 | 1 | 2): readonly (readonly string[])[] {
  const digits = [...Buffer.concat([Buffer.alloc(before), bytes]).toString('base64').replaceAll('=', '')].map((char) => ALPHABET.indexOf(char))
  const own = digits.slice(before === 0 ? 0 : before)
  // 2 bits of the first character are another's behind one byte, 4 behind two.
  const foreignFirst = before === 0 ? 0 : 2 * before
  const foreignLast = (3 - ((before + bytes.length) % 3)) % 3 * 2
  return own.map((digit, at) => {
    if (at === 0 && before > 0) return variants(foreignFirst, 6 - foreignFirst).flatMap((bits) => written(digit | bits))
    if (at === own.length - 1 && foreignLast > 0) return [...variants(foreignLast, 0).flatMap((bits) => written(digit | bits)), ...padded(digit, foreignLast / 2)]
    return written(digit)
  })
}

/** All values of so many bits, moved up by `shift`. */
const variants = (bits: number, shift: number): readonly number[] => Array.from({ length: 1 << bits }, (_, value) => value << shift)

/** A character of base64 in the alphabets of RFC 4648 (4 and 5), also as a URL or JSON holds it. */
function written(digit: number): readonly string[] {
  const char = ALPHABET.charAt(digit)
  if (char === '+') return ['-', ...spellings('+')]
  if (char === '/') return ['_', ...spellings('/')]
  return [char]
}

/** The last character with its padding: there is some only where nothing comes behind, so the other bits are 0. */
function padded(digit: number, signs: number): readonly string[] {
  return spellings('=').flatMap((sign) => written(digit).map((char) => char + sign.repeat(signs)))
}
