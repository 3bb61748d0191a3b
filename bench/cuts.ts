export async function benchCuts(_options: { transfers: number; seed: number; interrupted: Promise<never> }): Promise<number> { throw new Error('todo') }
