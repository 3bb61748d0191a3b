import type { Door } from './door.ts'
import type { Sink } from './sink.ts'

/** A text style: SGR parameters. Source: ECMA-48 section 8.3.117. */
export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'blue' | 'magenta' | 'cyan'

const SGR: Record<Style, string> = { bold: '1', dim: '2', red: '31', green: '32', yellow: '33', blue: '34', magenta: '35', cyan: '36' }

/** Gives text for `sink` a style where colours are wanted and a terminal shows them; else leaves it as it is. */
export function painter(door: Pick<Door, 'globals'>, sink: Sink): (text: string, style: Style) => string {
  const colours = door.globals.color && sink.isTerminal
  return (text, style) => (colours && text !== '' ? `\u001b[${SGR[style]}m${text}\u001b[0m` : text)
}
