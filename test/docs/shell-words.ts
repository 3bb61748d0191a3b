/** The words of the first command of a line of sh, as the pages have them: quotes, comments, and redirections and pipes that end it. */
export function shellWords(line: string): string[] {
  const words: string[] = []
  let word: string | undefined
  for (let at = 0; at < line.length; at++) {
    const char = line[at] ?? ''
    if (char === "'" || char === '"') {
      const end = line.indexOf(char, at + 1)
      if (end === -1) throw new Error(`a quote does not end: ${line}`)
      word = (word ?? '') + line.slice(at + 1, end)
      at = end
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else if (/[|><;&]/.test(char) && !(char === '&' && word?.startsWith('@'))) break
    else if (char === '#' && word === undefined) break
    else word = (word ?? '') + char
  }
  return word === undefined ? words : [...words, word]
}
