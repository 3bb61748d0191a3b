import type { Spool } from './spool.ts'

/** What a host wrote. */
export interface Output {
  readonly stdout: Spool
  readonly stderr: Spool
}

/** Hosts that wrote the same and came to the same end. */
export interface OutputGroup {
  /** In the order of the configuration. */
  readonly ids: readonly string[]
  /** Why they did not succeed; undefined where they did. */
  readonly reason: string | undefined
  readonly output: Output
}

/** Folds hosts with equal output. One copy of each output is kept, so memory grows with what differs, not with the hosts. */
export class OutputGroups {
  readonly #ranks: ReadonlyMap<string, number>
  readonly #groups = new Map<string, { ids: string[]; reason: string | undefined; output: Output }>()

  /** `ids`: all hosts, in the order of the configuration. */
  constructor(ids: readonly string[]) {
    this.#ranks = new Map(ids.map((id, index) => [id, index]))
  }

  /** A host is done; its output is kept, or dropped where an equal one is there. */
  async add(vmId: string, reason: string | undefined, output: Output): Promise<void> {
    const key = JSON.stringify([reason, await output.stdout.identity(), await output.stderr.identity()])
    const group = this.#groups.get(key)
    if (!group) {
      this.#groups.set(key, { ids: [vmId], reason, output })
      return keepBoth(output)
    }
    group.ids.push(vmId)
    if (!isDamaged(group.output) || isDamaged(output)) return dropBoth(output)
    const damaged = group.output
    group.output = output
    await dropBoth(damaged)
    await keepBoth(output)
  }

  /** The largest first, then by their first hosts. */
  sorted(): OutputGroup[] {
    const groups = [...this.#groups.values()].map((group) => ({ ...group, ids: group.ids.sort((a, b) => this.#rank(a) - this.#rank(b)) }))
    return groups.sort((a, b) => b.ids.length - a.ids.length || this.#rank(a.ids[0]) - this.#rank(b.ids[0]))
  }

  #rank(id = ''): number {
    return this.#ranks.get(id) ?? this.#ranks.size
  }
}

/** Whether some of it can not be read again. */
export function isDamaged({ stdout, stderr }: Output): boolean {
  return stdout.error !== undefined || stderr.error !== undefined
}

/** Whether there is nothing. */
export function isEmpty({ stdout, stderr }: Output): boolean {
  return stdout.sizeBytes === 0 && stderr.sizeBytes === 0
}

async function keepBoth({ stdout, stderr }: Output): Promise<void> {
  await stdout.keep()
  await stderr.keep()
}

async function dropBoth({ stdout, stderr }: Output): Promise<void> {
  await stdout.drop()
  await stderr.drop()
}
