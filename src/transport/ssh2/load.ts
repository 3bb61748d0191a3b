import type ssh2 from 'ssh2'

/** The ssh2 package. */
export type Ssh2 = typeof ssh2

/** Loads ssh2 when it is first needed: it takes longer to load than all of Remex. */
export async function loadSsh2(): Promise<Ssh2> {
  const module = await import('ssh2')
  return module.default
}
