/** Patterns of ssh_config, where `*` is any text and `?` one character, ready to be asked often. */
export interface PatternList {
  readonly names: ReadonlySet<string>
  readonly wild: readonly string[]
  readonly negated: readonly string[]
}

/** The patterns, of which those that begin with `!` exclude. */
export function patternList(patterns: readonly string[]): PatternList {
  const wanted = patterns.filter((pattern) => !pattern.startsWith('!'))
  return {
    names: new Set(wanted.filter((pattern) => !isWild(pattern))),
    wild: wanted.filter(isWild),
    negated: patterns.filter((pattern) => pattern.startsWith('!')).map((pattern) => pattern.slice(1)),
  }
}

/** Whether a pattern stands for more than itself. */
export function isWild(pattern: string): boolean {
  return /[*?]/.test(pattern)
}

/** Whether one of the patterns fits, and none of those that exclude does. */
export function matchesList({ names, wild, negated }: PatternList, text: string): boolean {
  const isWanted = names.has(text) || wild.some((pattern) => matchesPattern(pattern, text))
  return isWanted && !negated.some((pattern) => matchesPattern(pattern, text))
}

/** Goes back to the last `*` only, so the time is bounded by the product of the lengths, which a regular expression's is not. */
export function matchesPattern(pattern: string, text: string): boolean {
  let at = 0
  let star = -1
  let starText = 0
  for (let index = 0; index < text.length; ) {
    const wanted = pattern[at]
    if (wanted === '*') {
      star = at++
      starText = index
    } else if (wanted === '?' || wanted === text[index]) {
      at++
      index++
    } else if (star !== -1) {
      at = star + 1
      index = ++starText
    } else return false
  }
  return /^\**$/.test(pattern.slice(at))
}
