/** Rejects when we are to end: servers, users and gigabytes are cleared away then. */
export function interruption(): Promise<never> {
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => reject(new Error(`ended by ${signal}`)))
  })
  interrupted.catch(() => undefined)
  return interrupted
}
