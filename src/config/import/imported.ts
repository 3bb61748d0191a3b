/** A hop on the way to a host, as another program named it. */
export interface Hop {
  /** The host of the same import that it is; undefined: none. */
  readonly id: string | undefined
  /** `[user@]host[:port]`, for where that host is not taken over; undefined: it cannot be said so. */
  readonly address: string | undefined
}

/** A host of another program's files, in our words and not yet checked. */
export interface ImportedHost {
  /** Its name there, which is to be its id. */
  readonly id: string
  readonly address: string
  /** A number where it was one. */
  readonly port: number | string | undefined
  readonly login: string | undefined
  readonly identityFile: string | undefined
  /** First hop first; empty: directly. */
  readonly jump: readonly Hop[]
  readonly groups: readonly string[]
  readonly sudo: boolean | string | undefined
  /** The name by which the settings of `ssh` know it, where they alone lead there; undefined: what else stands here does. */
  readonly sshConfig: string | undefined
  /** Why it is taken over with `enabled: false`; undefined: it is enabled. */
  readonly disabled: string | undefined
}

/** What could not be taken over. */
export interface LeftOut {
  readonly name: string
  readonly reason: string
}

/** What was found in another program's files. */
export interface Imported {
  readonly hosts: readonly ImportedHost[]
  readonly leftOut: readonly LeftOut[]
  readonly notices: Notices
}

/** A file of another program. */
export interface SourceFile {
  /** As messages show it. */
  readonly path: string
  readonly text: string
}

/** More hosts than this are a mistake, such as a range with a digit too many. */
export const MOST_HOSTS = 10_000

/** How many hosts one notice names. */
const NAMED = 5

/** What a person should know of an import; the same of many hosts is said once. */
export class Notices {
  readonly #hosts = new Map<string, Set<string>>()

  /** Without `host` it is about the whole. */
  add(text: string, host?: string): void {
    const hosts = this.#hosts.get(text) ?? new Set<string>()
    if (host !== undefined) hosts.add(host)
    this.#hosts.set(text, hosts)
  }

  /** One text for each, in the order in which they came. They may hold control characters. */
  lines(): readonly string[] {
    return [...this.#hosts].map(([text, hosts]) => {
      const named = [...hosts].slice(0, NAMED).join(', ')
      const more = hosts.size > NAMED ? ` and ${hosts.size - NAMED} more` : ''
      return hosts.size === 0 ? text : `${named}${more}: ${text}`
    })
  }
}
