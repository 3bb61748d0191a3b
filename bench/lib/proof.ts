/** Runs a proof and prints the seed of its choices before it, its figures after it, and how long it took. Resolves with what it came to. */
export async function printedProof<P>(seed: number, prove: () => Promise<P>, report: (proof: P) => string): Promise<P> {
  process.stdout.write(`seed ${seed}\n`)
  const startMs = performance.now()
  const proof = await prove()
  process.stdout.write(`${report(proof)}\n${((performance.now() - startMs) / 1000).toFixed(0)} s in all\n`)
  return proof
}
