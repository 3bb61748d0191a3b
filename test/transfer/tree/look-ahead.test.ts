import { describe, expect, it, onTestFinished } from 'vitest'
import { remexError } from '../../../src/core/errors.ts'
import { compareTrees } from '../../../src/transfer/tree/compare.ts'
import type { CompareOptions } from '../../../src/transfer/tree/compare.ts'
import type { Step, TreeEntry } from '../../../src/transfer/tree/entry.ts'
import type { RootedTree } from '../../../src/transfer/tree/listing.ts'

const OPTIONS: CompareOptions = {
  filter: () => true,
  delete: true,
  checksum: false,
  missing: () => remexError('REMOTE_NOT_FOUND', 'no source'),
}

const ROOT: TreeEntry = { name: Buffer.alloc(0), kind: 'directory', sizeBytes: 0, mtime: 0, mode: 0o755 }

const entry = (name: string, kind: TreeEntry['kind'] = 'directory'): TreeEntry => ({ ...ROOT, name: Buffer.from(name), kind })

const nothing: RootedTree = { prefix: 'vm01: ', root: async () => null, list: async () => null, readlink: async () => Buffer.from('x') }

/** A side whose lists are what `list` says. */
const side = (list: (path: string) => Promise<readonly TreeEntry[] | null>, more: Partial<RootedTree> = {}): RootedTree => {
  return { ...nothing, root: async () => ROOT, list: (path) => list(path.toString()), ...more }
}

/** A tree of `widths[0]` directories in the root, `widths[1]` in each of those, and so on. */
const uniform = (...widths: readonly number[]) => (path: string): readonly TreeEntry[] => {
  const depth = path === '' ? 0 : path.split('/').length
  return Array.from({ length: widths[depth] ?? 0 }, (_, index) => entry(String(index).padStart(6, '0')))
}

/** Lists that are answered all at once, round by round, as over a long way. */
class LongWay {
  rounds = 0
  mostAtOnce = 0
  #waiting: (() => void)[] = []

  /** Resolves with the next round. */
  trip(): Promise<void> {
    if (this.#waiting.length === 0) setImmediate(() => this.#arrive())
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #arrive(): void {
    const arriving = this.#waiting
    this.#waiting = []
    this.rounds += 1
    this.mostAtOnce = Math.max(this.mostAtOnce, arriving.length)
    for (const resolve of arriving) resolve()
  }
}

const collect = async (source: RootedTree, target: RootedTree, options: Partial<CompareOptions> = {}): Promise<Step[]> => {
  const steps: Step[] = []
  for await (const step of compareTrees(source, target, { ...OPTIONS, ...options })) steps.push(step)
  return steps
}

const short = (steps: readonly Step[]): string[] => steps.map(({ kind, path }) => `${kind} ${path.toString()}`)

describe('the look-ahead of compareTrees', () => {
  it.each([
    ['a thousand small directories side by side', [1000], 80],
    ['a thousand at the second level', [10, 100], 80],
    ['a thousand at the third level', [10, 10, 10], 90],
    ['one within the other, where nothing can be known ahead', Array.from({ length: 50 }, () => 1), 51],
  ])('waits for few round trips over %s', async (_what, widths, mostRounds) => {
    const way = new LongWay()
    const list = uniform(...widths)
    const source = side(async (path) => list(path))
    const target = side(async (path) => {
      await way.trip()
      return list(path)
    })
    const steps = await collect(source, target)
    const count = widths.reduceRight((below, width) => 1 + width * below, 1)
    expect(steps).toHaveLength(2 * count)
    expect(way.rounds).toBeLessThanOrEqual(mostRounds)
    expect(way.mostAtOnce).toBeLessThanOrEqual(16)
  })

  it('asks for both ends of a directory at the same time', async () => {
    const way = new LongWay()
    const list = uniform(1)
    const both = side(async (path) => {
      await way.trip()
      return list(path)
    })
    await collect(both, both)
    expect([way.rounds, way.mostAtOnce]).toEqual([2, 2])
  })

  it('asks for each directory once, and for none that is known not to be there', async () => {
    const asked: string[] = []
    const list = uniform(3, 3)
    const watched = (name: string, kept: (path: string) => readonly TreeEntry[]): RootedTree => side(async (path) => {
      asked.push(`${name} ${path}`)
      return kept(path)
    })
    await collect(watched('source', list), watched('target', (path) => (path === '' ? list(path).slice(0, 1) : [])))
    expect(asked.filter((one) => one.startsWith('target'))).toEqual(['target ', 'target 000000'])
    expect(new Set(asked).size).toBe(asked.length)
    expect(asked).toHaveLength(2 + 1 + 3 + 9)
  })

  it('does not run ahead of a caller that takes its time', async () => {
    let asked = 0
    const list = uniform(500, 2)
    const steps = compareTrees(side(async (path) => {
      asked += 1
      return list(path)
    }), nothing, OPTIONS)
    for (let count = 0; count < 5; count += 1) await steps.next()
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate)
    expect(asked).toBeLessThan(110)
    await steps.return()
  })

  it('holds few large lists, however many there are', async () => {
    let held = 0
    const files = Array.from({ length: 20_000 }, (_, index) => entry(String(index).padStart(6, '0'), 'file'))
    const list = uniform(100)
    const steps = compareTrees(side(async (path) => {
      if (path === '') return list(path)
      await new Promise(setImmediate)
      held += 1
      return files
    }), nothing, OPTIONS)
    for (let count = 0; count < 3; count += 1) await steps.next()
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate)
    expect(held).toBeLessThanOrEqual(8)
    await steps.return()
  })
})

describe('what goes wrong while compareTrees walks', () => {
  const denied = remexError('PERMISSION_DENIED', 'vm01: cannot list it')
  const list = uniform(3)

  /** `list`, but for what `broken` says of the directory 000001. */
  const but = (broken: () => Promise<readonly TreeEntry[] | null>): RootedTree => side(async (path) => (path === '000001' ? broken() : list(path)))

  const failing = async (): Promise<never> => {
    throw denied
  }

  it.each([
    ['cannot be listed at the source', but(failing), side(async (path) => list(path)), denied],
    ['cannot be listed at the target', side(async (path) => list(path)), but(failing), denied],
    ['has vanished from the source', but(async () => null), side(async (path) => list(path)), { code: 'TRANSFER_FAILED' }],
  ])('is one failed step for a directory that %s, and nothing in it is touched', async (_what, source, target, error) => {
    const steps = await collect(source, target)
    expect(short(steps)).toEqual(['directory ', 'directory 000000', 'leave 000000', 'failed 000001', 'directory 000002', 'leave 000002', 'leave '])
    expect(steps[3]).toMatchObject({ kind: 'failed', error })
  })

  it('leaves an extra directory that cannot be listed, and those that it is in', async () => {
    const target = side(async (path) => {
      if (path === '') return [entry('a')]
      if (path === 'a') return [entry('b'), entry('c')]
      if (path === 'a/b') throw denied
      return []
    })
    expect(short(await collect(side(async () => []), target))).toEqual(['directory ', 'failed a/b', 'extra a/c', 'leave '])
  })

  it('makes a directory anew that has vanished from the target, and passes over an extra one that has', async () => {
    const target = side(async (path) => (path === '' ? [entry('a'), entry('b')] : null))
    const steps = await collect(side(async (path) => (path === '' ? [entry('a')] : [])), target)
    expect(short(steps)).toEqual(['directory ', 'directory a', 'leave a', 'leave '])
    expect(steps[1]).toMatchObject({ existing: null })
  })

  it('is one failed step for a link that cannot be read', async () => {
    const source = side(async () => [entry('a', 'symlink'), entry('b', 'symlink')], {
      readlink: async (path) => {
        if (path.toString() === 'a') throw denied
        return Buffer.from('x')
      },
    })
    expect(short(await collect(source, nothing))).toEqual(['directory ', 'failed a', 'link b', 'leave '])
  })

  it.each([
    ['the source', but(failing), nothing],
    ['the target', side(async (path) => list(path)), but(failing)],
  ])('rejects with what listing a root rejects with: %s', async (_what, source, target) => {
    const rootFails = (tree: RootedTree): RootedTree => (tree === nothing ? tree : { ...tree, list: failing })
    await expect(collect(rootFails(source), rootFails(target))).rejects.toBe(denied)
  })

  it.each([
    ['a broken connection', remexError('CONNECTION_LOST', 'vm01: the SFTP connection broke')],
    ['a deadline', remexError('TIMED_OUT', 'the deadline passed')],
    ['a mistake of our own', new TypeError('x is not a function')],
  ])('ends the whole walk for %s', async (_what, error) => {
    const source = but(async () => {
      throw error
    })
    await expect(collect(source, nothing)).rejects.toBe(error)
  })

  it('leaves no rejection behind, and asks for nothing more, when the caller stops early', async () => {
    const unhandled: unknown[] = []
    const listen = (error: unknown): number => unhandled.push(error)
    process.on('unhandledRejection', listen)
    onTestFinished(() => void process.off('unhandledRejection', listen))
    const wide = uniform(500)
    let asked = 0
    const source = side(async (path) => {
      asked += 1
      if (path === '') return wide(path)
      await new Promise(setImmediate)
      throw remexError('CONNECTION_LOST', 'gone')
    })
    for await (const step of compareTrees(source, nothing, OPTIONS)) if (step.kind === 'directory') break
    const before = asked
    for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate)
    expect(asked).toBe(before)
    expect(unhandled).toEqual([])
  })

  it('rejects with the reason of its signal while a list never comes', async () => {
    const controller = new AbortController()
    const reason = remexError('TIMED_OUT', 'the deadline passed')
    const collected = collect(side((path) => (path === '' ? Promise.resolve([entry('a')]) : new Promise(() => undefined))), nothing, { signal: controller.signal })
    setImmediate(() => controller.abort(reason))
    await expect(collected).rejects.toBe(reason)
  })

  it('rejects with the reason of its signal between two steps, and before the first', async () => {
    const controller = new AbortController()
    const reason = remexError('CANCELLED', 'enough')
    const steps = compareTrees(side(async (path) => list(path)), nothing, { ...OPTIONS, signal: controller.signal })
    await steps.next()
    controller.abort(reason)
    await expect(steps.next()).rejects.toBe(reason)
    await expect(collect(nothing, nothing, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'CANCELLED' })
  })

  it('lets timers fire during a walk over much that is the same', async () => {
    const files = Array.from({ length: 100_000 }, (_, index) => entry(String(index).padStart(6, '0'), 'file'))
    const tree = side(async () => files)
    let turns = 0
    const count = (): void => {
      turns += 1
      ticking = setImmediate(count)
    }
    let ticking = setImmediate(count)
    expect(await collect(tree, tree)).toHaveLength(100_002)
    clearImmediate(ticking)
    expect(turns).toBeGreaterThan(2)
  })
})
