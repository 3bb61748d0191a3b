import { stat } from 'node:fs/promises'
import { errorCode } from '../core/atomic-file.ts'
import { HostKeyStore } from './known-hosts.ts'

/** A file that changed this short a while ago may change again without its times telling. */
const SETTLED_MS = 100

/** The known_hosts files of a configuration, read anew only when one of them has changed: a fan-out asks for them once for every host. */
export class KnownHostsFiles {
  readonly #paths: readonly string[]
  #looking: Promise<string> | undefined
  #read: { readonly state: string; readonly store: Promise<HostKeyStore> } | undefined

  constructor(paths: readonly string[]) {
    this.#paths = paths
  }

  /** The files as they are now. Rejects as {@link HostKeyStore.load}. */
  async load(): Promise<HostKeyStore> {
    const state = await this.#look()
    if (this.#read?.state === state) return this.#read.store
    // Looked at before it is read: what changes meanwhile is another state.
    const store = HostKeyStore.load(this.#paths)
    this.#read = { state, store }
    store.catch(() => (this.#read = undefined))
    return store
  }

  /** Who asks while somebody looks sees the same. */
  async #look(): Promise<string> {
    this.#looking ??= Promise.all(this.#paths.map(stateOf)).then((states) => states.join('\n'))
    try {
      return await this.#looking
    } finally {
      this.#looking = undefined
    }
  }
}

async function stateOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
    const isSettled = Date.now() - Number(ctimeNs / 1_000_000n) > SETTLED_MS
    return isSettled ? `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}` : `unsettled ${Math.random()}`
  } catch (error) {
    // What is wrong with it is told by whoever reads it.
    return errorCode(error) === 'ENOENT' ? 'missing' : `unreadable ${Math.random()}`
  }
}
