/** Longer words get no suggestion: a typo is short, and the work grows with the square. */
const LONGEST = 64

/**
 * The candidate that `word` was most likely meant to be, or undefined where none is near.
 * Near: at most a third of the letters differ (upper and lower case are alike, neighbours swapped count once),
 * or one is a part of the other (`port`, `ssh_port`). The first of equals wins.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const wanted = word.toLowerCase()
  if (wanted.length === 0 || wanted.length > LONGEST) return undefined
  let best: string | undefined
  let bestDistance = Infinity
  let part: string | undefined
  for (const candidate of candidates) {
    const known = candidate.toLowerCase()
    const limit = Math.max(1, Math.floor(Math.max(wanted.length, known.length) / 3))
    if (Math.abs(wanted.length - known.length) <= limit) {
      const distance = editDistance(wanted, known)
      if (distance <= limit && distance < bestDistance) [best, bestDistance] = [candidate, distance]
    } else if (wanted.length >= 3 && known.includes(wanted)) part ??= candidate
  }
  return best ?? part
}

/** Optimal string alignment: insertions, deletions, replacements, and swaps of neighbours, each 1. */
function editDistance(from: string, to: string): number {
  let previous: number[] = []
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i++) {
    const above = row
    row = [i]
    for (let j = 1; j <= to.length; j++) {
      const replaced = at(above, j - 1) + (from[i - 1] === to[j - 1] ? 0 : 1)
      const swapped = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1] ? at(previous, j - 2) + 1 : Infinity
      row.push(Math.min(replaced, swapped, at(above, j) + 1, at(row, j - 1) + 1))
    }
    previous = above
  }
  return at(row, to.length)
}

const at = (row: readonly number[], index: number): number => row[index] ?? Infinity
