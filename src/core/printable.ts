// C0 without tab, DEL, C1, and the bidirectional overrides that can reorder what a reader sees.
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/**
 * `text` for one line of a terminal or a message: control characters become visible escapes (`\x1b`),
 * so nothing that a server sends can move the cursor, hide or forge a line.
 */
export function printable(text: string): string {
  return text.replace(CONTROL, (char) => {
    const code = char.charCodeAt(0)
    if (char === '\n') return String.raw`\n`
    if (char === '\r') return String.raw`\r`
    return code < 0x100 ? String.raw`\x` + code.toString(16).padStart(2, '0') : String.raw`\u` + code.toString(16).padStart(4, '0')
  })
}
