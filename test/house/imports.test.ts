import { describe, expect, it } from 'vitest'
import { type Import, importsOf } from './imports.ts'
import { modulesUnder } from './repository.ts'

/** A room imports only rooms of a lower rank; rooms of one rank do not know each other. */
const RANKS: Record<string, number> = {
  core: 0,
  config: 1,
  keys: 1,
  policy: 1,
  audit: 1,
  transport: 2,
  session: 3,
  transfer: 4,
  fleet: 5,
  enrol: 6,
  // The files directly under src/: what wires the rooms together, and the list of what is public.
  '': 7,
  cli: 8,
}

/** The one way to run or move anything. It asks the policy and writes the audit log first. */
const DISPATCH = 'src/fleet/dispatch.ts'
/** The one place that makes engines. */
const COMPOSITION_ROOT = 'src/remex.ts'
/** What the composition root makes for dispatch: they hold connections and permits, and start nothing themselves. */
const PARTS = new Set(['src/session/governor.ts', 'src/session/login-shell.ts', 'src/session/pool.ts', 'src/transfer/partials.ts'])

const imports = modulesUnder('src').flatMap(importsOf)
const atRunTime = imports.filter(({ kind }) => kind !== 'type')

describe('imports', () => {
  it('stay inside the room or go to a room of a lower rank', () => {
    const wrong = imports.filter(({ from, to }) => to.startsWith('src/') && roomOf(from) !== roomOf(to) && rankOf(to) >= rankOf(from))
    expect(wrong.map(shown)).toEqual([])
  })

  it('never form a cycle among the modules of a running program', () => {
    expect(cycles(modulesUnder('src', 'testkit').flatMap(importsOf).filter(({ kind }) => kind === 'value'))).toEqual([])
  })

  it('name only node: and own files in core', () => {
    expect(imports.filter(({ from, to }) => roomOf(from) === 'core' && !/^(node:|src\/core\/)/.test(to)).map(shown)).toEqual([])
  })

  it('of an SSH library are in transport only', () => {
    expect(imports.filter(({ from, to }) => /^ssh2(\/|$)/.test(to) && roomOf(from) !== 'transport').map(shown)).toEqual([])
  })

  it('of what executes or transfers are in dispatch only, so that no door can skip policy and audit', () => {
    const uses = atRunTime.filter(({ from, to }) => isDoing(to) && !isDoing(from) && from !== DISPATCH)
    expect(uses.filter(({ from, to }) => !(from === COMPOSITION_ROOT && PARTS.has(to))).map(shown)).toEqual([])
  })

  it('of an engine are in transport and in the composition root only', () => {
    const engines = atRunTime.filter(({ to }) => /^src\/transport\/\w+\//.test(to))
    expect(engines.filter(({ from }) => roomOf(from) !== 'transport' && from !== COMPOSITION_ROOT).map(shown)).toEqual([])
  })

  it('of the testkit are dynamic, and in the demo only', () => {
    const wrong = imports.filter(({ from, to, kind }) => to.startsWith('testkit/') && !(kind !== 'value' && /^src\/cli\/demo/.test(from)))
    expect(wrong.map(shown)).toEqual([])
  })

  it('leave src for packages and the testkit only', () => {
    expect(imports.filter(({ to }) => /^(\.\.|test\/|bench\/|examples\/|scripts\/)/.test(to)).map(shown)).toEqual([])
  })
})

describe('rooms', () => {
  it('all have a rank', () => {
    const rooms = new Set(modulesUnder('src').map(({ path }) => roomOf(path)))
    expect([...rooms].filter((room) => !(room in RANKS))).toEqual([])
  })
})

/** `src/core/errors.ts` is in `core`, `src/remex.ts` in ``. */
function roomOf(path: string): string {
  const [top, room, file] = path.split('/')
  return top === 'src' && room && file ? room : ''
}

/** All of these rooms, not a list of their files: a new file is guarded from its first day. */
function isDoing(path: string): boolean {
  return ['session', 'transfer'].includes(roomOf(path))
}

function rankOf(path: string): number {
  return RANKS[roomOf(path)] ?? Number.POSITIVE_INFINITY
}

function shown({ place, to }: Import): string {
  return `${place} imports ${to}`
}

/** Each cycle as the path that leads back to where it began. */
function cycles(edges: readonly Import[]): readonly string[] {
  const next = new Map<string, string[]>()
  for (const { from, to } of edges) next.set(from, [...(next.get(from) ?? []), to])
  const found: string[] = []
  const done = new Set<string>()
  const follow = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) found.push([...trail.slice(trail.indexOf(path)), path].join(' -> '))
    if (trail.includes(path) || done.has(path)) return
    for (const to of next.get(path) ?? []) follow(to, [...trail, path])
    done.add(path)
  }
  for (const path of next.keys()) follow(path, [])
  return found
}
