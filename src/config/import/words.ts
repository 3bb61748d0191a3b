/**
 * The words of `text` as Python's shlex splits them, which is what Ansible reads inventories and ssh arguments with; undefined
 * where a quote is open. With `comments`, a "#" outside of quotes ends the text, also within a word.
 */
export function splitWords(text: string, { comments = false } = {}): readonly string[] | undefined {
  const words: string[] = []
  let word: string | undefined
  for (let index = 0; index < text.length; index++) {
    const char = text.charAt(index)
    if (char === '"' || char === "'") {
      const end = closingQuote(text, index)
      if (end === -1) return undefined
      const inside = text.slice(index + 1, end)
      word = (word ?? '') + (char === '"' ? inside.replaceAll(/\\(["\\])/g, '$1') : inside)
      index = end
    } else if (char === '\\') {
      if (index + 1 === text.length) return undefined
      word = (word ?? '') + text.charAt(++index)
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else if (comments && char === '#') break
    else word = (word ?? '') + char
  }
  if (word !== undefined) words.push(word)
  return words
}

/** -1 where there is none. */
function closingQuote(text: string, open: number): number {
  const quote = text.charAt(open)
  for (let index = open + 1; index < text.length; index++) {
    if (text[index] === quote) return index
    // Only in double quotes does a backslash hide what follows.
    if (text[index] === '\\' && quote === '"') index++
  }
  return -1
}
