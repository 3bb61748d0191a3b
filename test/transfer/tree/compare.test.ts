import { copyFileSync, lstatSync, mkdirSync, rmdirSync, symlinkSync, unlinkSync, utimesSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { remexError } from '../../../src/core/errors.ts'
import { joinPath, showPath } from '../../../src/transfer/path-name.ts'
import { SftpClient } from '../../../src/transfer/sftp/client.ts'
import { compareTrees } from '../../../src/transfer/tree/compare.ts'
import type { CompareOptions } from '../../../src/transfer/tree/compare.ts'
import type { Step } from '../../../src/transfer/tree/entry.ts'
import { makeFilter } from '../../../src/transfer/tree/filter.ts'
import type { FilterRule } from '../../../src/transfer/tree/filter.ts'
import { localTree } from '../../../src/transfer/tree/local-tree.ts'
import { remoteTree } from '../../../src/transfer/tree/remote-tree.ts'
import { localAccess, sftpServerPath } from '../local-access.ts'
import { scratch } from '../scratch.ts'
import { harvestTree, plantTree } from './plant.ts'
import type { Plant } from './plant.ts'

const OPTIONS: CompareOptions = {
  filter: () => true,
  delete: false,
  checksum: false,
  missing: () => remexError('LOCAL_NOT_FOUND', 'no source'),
}

const OLD = 1_000_000_000
const NEW = 1_000_000_001

const stepsOf = async (source: string, target: string, options: Partial<CompareOptions> = {}): Promise<Step[]> => {
  const steps: Step[] = []
  for await (const step of compareTrees(localTree(Buffer.from(source)), localTree(Buffer.from(target)), { ...OPTIONS, ...options })) steps.push(step)
  return steps
}

/** One line for a step. A directory's path ends in a slash; `!` stands behind what is in the way, `=` behind what exists. */
const line = (step: Step): string => {
  const slash = 'entry' in step && step.entry.kind === 'directory' ? '/' : ''
  const mark = step.kind === 'extra' && step.isInTheWay ? '!' : 'existing' in step && step.existing !== null && step.kind !== 'same' ? '=' : ''
  const points = step.kind === 'link' ? ` -> ${showPath(step.points)}` : ''
  return `${step.kind} ${showPath(step.path)}${slash}${mark}${points}`
}

/** The steps between two planted trees, without those of the root. */
const compare = async (source: Plant, target: Plant | null, options: Partial<CompareOptions> = {}): Promise<string[]> => {
  const base = await scratch()
  plantTree(Buffer.from(join(base, 'source')), source)
  if (target !== null) plantTree(Buffer.from(join(base, 'target')), target)
  const [first, ...steps] = (await stepsOf(join(base, 'source'), join(base, 'target'), options)).map(line)
  expect(first).toBe(target === null ? 'directory /' : 'directory /=')
  expect(steps.pop()).toBe('leave /')
  return steps
}

const rules = (...list: readonly string[]): Partial<CompareOptions> => {
  return { filter: makeFilter(list.map((one): FilterRule => ({ effect: one.startsWith('+') ? 'include' : 'exclude', pattern: one.slice(2) }))) }
}

const remove = { delete: true }

describe('compareTrees', () => {
  it.each<[what: string, source: Plant, target: Plant | null, steps: string[], options?: Partial<CompareOptions>]>([
    ['everything where the target is not there', { a: { b: [1, OLD] }, c: 'a' }, null, ['directory a/', 'file a/b', 'leave a/', 'link c -> a']],
    ['nothing but the directories of an empty tree', {}, {}, []],
    ['a file of equal size and time as the same', { a: [5, OLD] }, { a: [5, OLD] }, ['same a']],
    ['a file of another size', { a: [5, OLD] }, { a: [6, OLD] }, ['file a=']],
    ['a file of another time', { a: [5, OLD] }, { a: [5, NEW] }, ['file a=']],
    ['a file of equal size and time for comparison by content', { a: [5, OLD] }, { a: [5, OLD] }, ['file a='], { checksum: true }],
    ['a file of another size too, by content', { a: [5, OLD] }, { a: [6, OLD] }, ['file a='], { checksum: true }],
    ['a link that says the same', { a: 'b' }, { a: 'b' }, ['same a']],
    ['a link that says something else', { a: 'b' }, { a: 'c' }, ['link a= -> b']],
    ['whole paths in bytewise order', { 'a.c': [1, OLD], a: { b: [1, OLD] }, a0: [1, OLD] }, {}, ['file a.c', 'directory a/', 'file a/b', 'leave a/', 'file a0']],
    ['nothing of what is at the target only', { a: [1, OLD] }, { a: [1, OLD], b: { c: [1, OLD] } }, ['same a']],
    ['that as extra to be deleted, contents first', {}, { a: [1, OLD], b: { c: { d: 'x' }, e: [1, OLD] } }, ['extra a', 'extra b/c/d', 'extra b/c/', 'extra b/e', 'extra b/'], remove],
    ['what is in the way as failed', { a: [1, OLD], b: 'x' }, { a: 'y', b: [1, OLD] }, ['failed a', 'failed b']],
    ['a directory in the way as failed', { a: [1, OLD] }, { a: { b: [1, OLD] } }, ['failed a']],
    ['a directory that something is in the way of as failed, without its content', { a: { b: [1, OLD] } }, { a: [1, OLD] }, ['failed a']],
    ['a directory that a link to one is in the way of as failed', { a: { b: [1, OLD] } }, { a: '/tmp' }, ['failed a']],
    ['first what is in the way, then what takes its place', { a: [1, OLD] }, { a: 'y' }, ['extra a!', 'file a'], remove],
    ['first a directory in the way, contents first', { a: 'x' }, { a: { b: { c: [1, OLD] } } }, ['extra a/b/c!', 'extra a/b/!', 'extra a/!', 'link a -> x'], remove],
    ['first a link in the way of a directory, never what it leads to', { a: { b: [1, OLD] } }, { a: '..' }, ['extra a!', 'directory a/', 'file a/b', 'leave a/'], remove],
    ['a name of two kinds once, though it stands apart in the two lists', { a: [1, OLD], 'a.c': [1, OLD] }, { 'a.c': [1, OLD], a: { b: 'x' } }, ['extra a/b!', 'extra a/!', 'file a', 'same a.c'], remove],
    ['nothing that is excluded', { a: { b: [1, OLD] }, c: [1, OLD] }, {}, ['file c'], rules('- a')],
    ['what is in an excluded directory not even if it is included', { a: { b: [1, OLD] } }, {}, [], rules('+ b', '- a')],
    ['what is included in a directory whose content is excluded', { a: { b: [1, OLD], c: [1, OLD] } }, {}, ['directory a/', 'file a/b', 'leave a/'], rules('+ a/b', '- a/**')],
    ['nothing that is excluded as extra', {}, { a: [1, OLD], b: [1, OLD] }, ['extra b'], { ...rules('- a'), ...remove }],
    ['no directory as extra that holds what is excluded', {}, { a: { b: { c: [1, OLD], d: 'x' }, e: [1, OLD] } }, ['extra a/b/d', 'extra a/e'], { ...rules('- c'), ...remove }],
    ['what the filter keeps in the way as failed', { a: [1, OLD] }, { a: { b: [1, OLD] } }, ['failed a'], { ...rules('- a/'), ...remove }],
    ['what holds something excluded in the way as failed', { a: [1, OLD] }, { a: { b: [1, OLD], c: 'x' } }, ['extra a/c!', 'failed a'], { ...rules('- b'), ...remove }],
    ['a file as extra where only a directory of its name is excluded', { a: {} }, { a: [1, OLD] }, ['extra a'], { ...rules('- a/'), ...remove }],
    ['names of any bytes', { 'a\nb': [1, OLD], '\xff\xfe': { '-rf': [1, OLD] } }, { '\xff\xfe': {} }, [String.raw`file a\nb`, 'directory ��/=', 'file ��/-rf', 'leave ��/']],
  ])('tells %s', async (_what, source, target, steps, options) => {
    expect(await compare(source, target, options)).toEqual(steps)
  })

  it('skips what a transfer cannot carry, and leaves what is in its place', async () => {
    const base = await scratch()
    for (const name of ['source', 'target']) mkdirSync(join(base, name))
    execFileSync('mkfifo', [join(base, 'source', 'pipe'), join(base, 'source', 'two'), join(base, 'target', 'three')])
    mkdirSync(join(base, 'target', 'two'))
    const steps = await stepsOf(join(base, 'source'), join(base, 'target'), remove)
    expect(steps.map(line)).toEqual(['directory /=', 'skipped pipe', 'extra three', 'skipped two', 'leave /'])
  })

  it('says what is in the way, where, and what to do', async () => {
    const base = await scratch()
    plantTree(Buffer.from(join(base, 'source')), { a: { 'b\n': [1, OLD] } })
    plantTree(Buffer.from(join(base, 'target')), { a: { 'b\n': 'x' } })
    const failed = (await stepsOf(join(base, 'source'), join(base, 'target'))).find(({ kind }) => kind === 'failed')
    expect(failed).toMatchObject({ error: {
      code: 'TRANSFER_FAILED',
      message: String.raw`a/b\n is a symbolic link at the target, and a file at the source`,
      hint: 'Repeat with --delete to replace it.',
    } })
  })

  it('tells what the directories are at both ends', async () => {
    const base = await scratch()
    mkdirSync(join(base, 'source', 'a'), { recursive: true, mode: 0o700 })
    mkdirSync(join(base, 'target', 'a'), { recursive: true, mode: 0o750 })
    const [root, inner] = await stepsOf(join(base, 'source'), join(base, 'target'))
    const both = { entry: { mode: 0o700 }, existing: { mode: 0o750 } }
    expect([root, inner]).toMatchObject([{ kind: 'directory', path: Buffer.alloc(0), ...both }, { kind: 'directory', path: Buffer.from('a'), ...both }])
  })

  it('rejects with what the caller says for a source that is not there, and lists nothing', async () => {
    const base = await scratch()
    await expect(stepsOf(join(base, 'none'), base)).rejects.toMatchObject({ code: 'LOCAL_NOT_FOUND', message: 'no source' })
  })

  it('rejects with USAGE for a root that is a file, at either end', async () => {
    const base = await scratch()
    plantTree(Buffer.from(join(base, 'file')), [1, OLD])
    await expect(stepsOf(join(base, 'file'), base)).rejects.toMatchObject({ code: 'USAGE' })
    await expect(stepsOf(base, join(base, 'file'))).rejects.toMatchObject({ code: 'USAGE' })
  })

  it.skipIf(sftpServerPath === undefined)('tells the same of a host, in both directions, as of this machine', async () => {
    const base = await scratch()
    const [source, target] = [join(base, 'source'), join(base, 'target')]
    plantTree(Buffer.from(source), { a: { b: [1, OLD], 'c\n': 'x', d: 'y' }, '\xff': [2, OLD], e: { f: {} } })
    plantTree(Buffer.from(target), { a: { b: [1, OLD], 'c\n': 'x', d: 'z' }, '\xff': [3, OLD], g: { h: [1, OLD] }, e: 'x' })
    const sftp = await SftpClient.open(await localAccess({ home: base }).sftp(), { vmId: 'vm01' })
    onTestFinished(() => sftp.end())
    const expected = (await stepsOf(source, target, remove)).map(line)
    const sides = [localTree(Buffer.from(source)), localTree(Buffer.from(target)), remoteTree(sftp, Buffer.from(source)), remoteTree(sftp, Buffer.from(target))] as const
    for (const [from, to] of [[sides[0], sides[3]], [sides[2], sides[1]], [sides[2], sides[3]]] as const) {
      const steps: Step[] = []
      for await (const step of compareTrees(from, to, { ...OPTIONS, ...remove })) steps.push(step)
      expect(steps.map(line)).toEqual(expected)
    }
    expect(expected).toHaveLength(15)
  })
})

const anyName = fc.constantFrom('a', 'a-b', 'a.c', 'a0', 'b', 'a\nb', '\xff\xfe', '.hidden', '-rf', '*', '\xc3\xbc')
const { tree } = fc.letrec<{ tree: Plant; plant: Plant }>((tie) => ({
  tree: fc.dictionary(anyName, tie('plant'), { maxKeys: 5, noNullPrototype: true }),
  plant: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    fc.tuple(fc.constantFrom(0, 1, 2), fc.constantFrom(OLD, NEW)),
    fc.constantFrom('a', '..', '/none', '\xff'),
    tie('tree'),
  ),
}))

/** Does what `step` says, for trees of this machine. */
const apply = (step: Step, source: Buffer, target: Buffer): void => {
  const path = step.path.length === 0 ? target : joinPath(target, step.path)
  switch (step.kind) {
    case 'directory':
      if (step.existing === null) mkdirSync(path)
      break
    case 'file':
      copyFileSync(joinPath(source, step.path), path)
      utimesSync(path, step.entry.mtime, step.entry.mtime)
      break
    case 'link':
      if (step.existing !== null) unlinkSync(path)
      symlinkSync(step.points, path)
      break
    case 'extra':
      if (lstatSync(path).isDirectory()) rmdirSync(path)
      else unlinkSync(path)
      break
    case 'failed':
      throw step.error
    case 'skipped':
      throw new Error('nothing was to be skipped')
    case 'same':
    case 'leave':
  }
}

describe('the steps of compareTrees', () => {
  it('make any tree from any other, each as it is told, and then tell nothing more to do', async () => {
    const base = await scratch()
    let round = 0
    await fc.assert(fc.asyncProperty(tree, fc.option(tree), async (source, target) => {
      round += 1
      const [from, to] = [Buffer.from(join(base, `source-${round}`)), Buffer.from(join(base, `target-${round}`))]
      plantTree(from, source)
      if (target !== null) plantTree(to, target)
      const steps: Step[] = []
      for await (const step of compareTrees(localTree(from), localTree(to), { ...OPTIONS, ...remove })) {
        apply(step, from, to)
        steps.push(step)
      }
      expect(harvestTree(to)).toEqual(harvestTree(from))
      const again = await stepsOf(from.toString(), to.toString(), remove)
      expect(again.filter(({ kind }) => !['directory', 'leave', 'same'].includes(kind))).toEqual([])
      expect(pathsInOrder(steps)).toBe(true)
    }), { numRuns: 150 })
  }, 60_000)

  it('touch nothing that is excluded, and leave nothing else at the target', async () => {
    const base = await scratch()
    let round = 0
    const filter = makeFilter([{ effect: 'exclude', pattern: 'a*' }, { effect: 'exclude', pattern: 'b/' }])
    await fc.assert(fc.asyncProperty(tree, tree, async (source, target) => {
      round += 1
      const [from, to] = [Buffer.from(join(base, `source-${round}`)), Buffer.from(join(base, `target-${round}`))]
      plantTree(from, source)
      plantTree(to, target)
      for await (const step of compareTrees(localTree(from), localTree(to), { ...OPTIONS, ...remove, filter })) {
        // What is excluded may be in the way.
        if (step.kind === 'failed') continue
        expect(filter(step.path, 'entry' in step && step.entry.kind === 'directory')).toBe(true)
        apply(step, from, to)
      }
      const isExcluded = (name: string, plant: Plant): boolean => name.startsWith('a') || (name === 'b' && isDirectory(plant))
      expect(only(harvestTree(to), isExcluded)).toEqual(only(target, isExcluded))
    }), { numRuns: 100 })
  }, 60_000)
})

function isDirectory(plant: Plant): plant is { readonly [name: string]: Plant } {
  return typeof plant !== 'string' && !Array.isArray(plant)
}

/** The excluded things of a tree, by their paths. */
function only(plant: Plant, isExcluded: (name: string, plant: Plant) => boolean, path = ''): Record<string, Plant> {
  if (!isDirectory(plant)) return {}
  const found = Object.entries(plant).map(([name, inner]) => {
    return isExcluded(name, inner) ? { [`${path}/${name}`]: inner } : only(inner, isExcluded, `${path}/${name}`)
  })
  return Object.assign({}, ...found)
}

/** Whether the steps that are not deletions are told in bytewise order of whole paths. */
function pathsInOrder(steps: readonly Step[]): boolean {
  const paths = steps.flatMap((step) => {
    if (step.kind === 'extra' || step.kind === 'leave') return []
    const slash = 'entry' in step && step.entry.kind === 'directory' && step.path.length > 0 ? '/' : ''
    return [Buffer.concat([step.path, Buffer.from(slash)])]
  })
  return paths.every((path, index) => index === 0 || Buffer.compare(paths[index - 1] ?? path, path) < 0)
}
