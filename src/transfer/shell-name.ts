import { quoteWord } from '../core/quote.ts'

/**
 * Shell text that sets the variable `f` to `path` exactly, under `LC_ALL=C`. It is printable ASCII whatever the bytes are:
 * what is not travels as octal, because shell text is sent as UTF-8. Throws `USAGE` for a NUL, which no name can have.
 */
export function assignName(path: Buffer): string {
  const latin = path.toString('latin1')
  if (/^[ -~]*$/.test(latin) || path.includes(0)) return `f=${quoteWord(latin)}`
  const octal = latin.replace(/[^A-Za-z0-9_/,:@+=-]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`)
  // The dot keeps a newline at the end, which $(…) would cut off.
  return `f=$(printf '${octal}.'); f=\${f%.}`
}
