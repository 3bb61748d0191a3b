import { describe, expect, it } from 'vitest'
import { functionsOf } from './functions.ts'
import { allFiles, modulesUnder, textOf } from './repository.ts'

const MOST_LINES_OF_A_FILE = 400
const MOST_LINES_OF_A_FUNCTION = 60
const MEDIAN_LINES_OF_A_FUNCTION = 10
const MOST_PARAMETERS = 4

/** The original's functions, whose order of arguments is kept. */
const COMPATIBILITY = new Set(['executeRemoteCommand', 'executeRemoteScript', 'uploadFile', 'downloadFile'])

describe('files', () => {
  it(`of code have at most ${MOST_LINES_OF_A_FILE} lines`, () => {
    const code = allFiles().filter((path) => /\.(ts|js|mjs|cjs|sh)$|^remex$|^\.ci\/run$/.test(path))
    const lengths = code.map((path) => ({ path, lines: textOf(path).trimEnd().split('\n').length }))
    expect(lengths.filter(({ lines }) => lines > MOST_LINES_OF_A_FILE)).toEqual([])
  })
})

describe('functions', () => {
  const functions = modulesUnder('src', 'testkit', 'bench').flatMap(functionsOf)

  it(`have at most ${MOST_LINES_OF_A_FUNCTION} lines, or a reason beside them`, () => {
    const long = functions.filter(({ lines, isExcused }) => lines > MOST_LINES_OF_A_FUNCTION && !isExcused)
    expect(long.map(({ place, lines }) => `${place}: ${lines} lines`)).toEqual([])
  })

  it(`in src have a median of at most ${MEDIAN_LINES_OF_A_FUNCTION} lines`, () => {
    const lengths = modulesUnder('src').flatMap(functionsOf).filter(({ isOutermost }) => isOutermost).map(({ lines }) => lines)
    expect(median(lengths)).toBeLessThanOrEqual(MEDIAN_LINES_OF_A_FUNCTION)
  })

  it(`have at most ${MOST_PARAMETERS} parameters, the four of the original excepted`, () => {
    const wide = functions.filter(({ name, parameters }) => parameters > MOST_PARAMETERS && !COMPATIBILITY.has(name))
    expect(wide.map(({ place, parameters }) => `${place}: ${parameters} parameters`)).toEqual([])
  })
})

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}
