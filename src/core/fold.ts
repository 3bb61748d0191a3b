/**
 * Host ids as the shortest target expression that selects them: `vm[001-480]`. Ids with the same text around
 * their last number, and as many digits, fold together; numbers in rising order, parts in order of appearance.
 */
export function foldIds(ids: readonly string[]): string {
  const families = new Map<string, { prefix: string; suffix: string; numbers: Set<string> }>()
  for (const id of ids) {
    const [, prefix = id, digits = '', suffix = ''] = /^(.*?)(\d{1,15})(\D*)$/s.exec(id) ?? []
    const key = JSON.stringify([prefix, digits.length, suffix])
    const family = families.get(key) ?? { prefix, suffix, numbers: new Set() }
    families.set(key, family)
    family.numbers.add(digits)
  }
  return [...families.values()].map(({ prefix, suffix, numbers }) => prefix + foldNumbers([...numbers].sort()) + suffix).join(',')
}

/** `numbers` have the same length and rise. */
function foldNumbers(numbers: readonly string[]): string {
  if (numbers.length <= 1) return numbers[0] ?? ''
  const runs: { low: string; high: string }[] = []
  for (const number of numbers) {
    const last = runs.at(-1)
    if (last && Number(number) === Number(last.high) + 1) last.high = number
    else runs.push({ low: number, high: number })
  }
  return `[${runs.map(({ low, high }) => (low === high ? low : `${low}-${high}`)).join(',')}]`
}
