/** Hosts at a time, for every contender. */
export const PARALLEL = 32
