import { describe, expect, it } from 'vitest'
import { allFiles, textOf } from './repository.ts'

const files = allFiles()

describe('file names', () => {
  it('say what is in the file: none is a drawer for everything', () => {
    expect(files.filter((path) => /(^|[/._-])(utils?|misc|helpers?|common)([/._-]|$)/i.test(path))).toEqual([])
  })

  it('of TypeScript are in kebab-case', () => {
    const names = files.filter((path) => path.endsWith('.ts'))
    expect(names.filter((path) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.test|\.config)?\.ts$/.test(path.split('/').at(-1) ?? ''))).toEqual([])
  })
})

describe('texts', () => {
  // In pieces, or this file would be the first that is found.
  const PIECES = [['(?<![\\w.-])/', 'work/'], ['registry', '\\.(npm|yarn|[a-z]+\\.[a-z])'], ['farm', '-[a-z]'], ['\\b(SEED|ANCHORS|CONTRACT|DESIGN|STYLE)', '\\.md']]
  const FORBIDDEN = new RegExp(PIECES.map((pieces) => pieces.join('')).join('|'))

  it('name nothing of the place where they were written', () => {
    const lines = files.flatMap((path) => textOf(path).split('\n').map((line, index) => ({ place: `${path}:${index + 1}`, line })))
    expect(lines.filter(({ line }) => FORBIDDEN.test(line)).map(({ place, line }) => `${place} ${line.slice(0, 100)}`)).toEqual([])
  })
})

describe('package-lock.json', () => {
  const lock = JSON.parse(textOf('package-lock.json')) as { packages: Record<string, object> }

  it('does not say from where packages were fetched, so that everybody uses the registry of their own settings', () => {
    expect(Object.keys(lock.packages).filter((path) => 'resolved' in (lock.packages[path] ?? {}))).toEqual([])
  })

  it('has the hash of every package', () => {
    expect(Object.keys(lock.packages).filter((path) => path !== '' && !('integrity' in (lock.packages[path] ?? {})))).toEqual([])
  })
})
