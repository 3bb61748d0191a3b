/** Numbers that look random and are the same for the same seed, so that a failure can be seen again. */
export interface Random {
  /** A whole number from 0 up to, and without, `limit`. */
  below(limit: number): number
}

/** Source: the generator mulberry32, in the public domain. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return {
    below(limit) {
      state = (state + 0x6d2b79f5) >>> 0
      let mixed = Math.imul(state ^ (state >>> 15), state | 1)
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
      return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit)
    },
  }
}
