/** A key that the live view knows. */
export type Key =
  | { readonly name: 'up' | 'down' | 'page up' | 'page down' | 'newest' | 'return' | 'backspace' | 'escape' | 'interrupt' }
  | { readonly name: 'character'; readonly text: string }

type Named = Exclude<Key['name'], 'character'>

/** What terminals send. Source: xterm control sequences, normal and application mode. */
const SEQUENCES: Readonly<Record<string, Named>> = {
  '\u001b[A': 'up',
  '\u001bOA': 'up',
  '\u001b[B': 'down',
  '\u001bOB': 'down',
  '\u001b[5~': 'page up',
  '\u001b[6~': 'page down',
  '\u001b[F': 'newest',
  '\u001bOF': 'newest',
  '\u001b[4~': 'newest',
  '\u001b': 'escape',
  '\r': 'return',
  '\n': 'return',
  '\u007f': 'backspace',
  '\b': 'backspace',
  '\u0003': 'interrupt',
}

/** A sequence that begins with Escape, whole; else one character. */
const PIECE = /\u001b(?:\[[0-?]*[ -/]*[@-~]|O.)?|[^\u001b]/gsu

/** The keys in what a terminal sent. Those that nobody knows are left out. */
export function keysIn(text: string): Key[] {
  return (text.match(PIECE) ?? []).flatMap((piece): Key[] => {
    const name = SEQUENCES[piece]
    if (name) return [{ name }]
    return /^[^\u0000-\u001f\u007f-\u009f]$/u.test(piece) ? [{ name: 'character', text: piece }] : []
  })
}
