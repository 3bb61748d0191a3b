import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ERRORS, remexError, type ErrorCode } from '../../src/core/errors.ts'

const ROOT = join(import.meta.dirname, '../..')
const page = await readFile(join(ROOT, 'docs/errors.md'), 'utf8')
const codes = Object.keys(ERRORS) as ErrorCode[]
/** `|` inside a cell is written `\|`. */
const rows = page.split('\n').filter((line) => /^\| `[A-Z_]+` \|/.test(line)).map((line) => line.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim().replaceAll('\\|', '|')))

describe('docs/errors.md', () => {
  it('has one row for each code, in the order of the table in the code', () => {
    expect(rows.map(([code]) => code)).toEqual(codes.map((code) => `\`${code}\``))
  })

  it.each(codes)('says of %s what the code says', (code) => {
    const { summary, hint, retryable, exitStatus, httpStatus } = ERRORS[code]
    const [, happened, next, ...figures] = rows.find(([name]) => name === `\`${code}\``) ?? []
    expect(happened).toBe(summary)
    expect(next?.replaceAll('`', '')).toContain(hint.replaceAll('`', ''))
    expect(figures).toEqual([retryable ? 'yes' : 'no', String(exitStatus), String(httpStatus)])
  })

  it('calls those codes reserved, and no others, that nothing in src/ gives yet', async () => {
    const paths = (await readdir(join(ROOT, 'src'), { recursive: true })).filter((path) => path.endsWith('.ts') && !path.endsWith('core/errors.ts'))
    const source = (await Promise.all(paths.map((path) => readFile(join(ROOT, 'src', path), 'utf8')))).join('\n')
    expect(codes.filter((code) => !source.includes(`'${code}'`))).toEqual([])
    expect(rows.filter(([, , next]) => next?.includes('reserved')).map(([code]) => code)).toEqual([])
  })

  it('names the class of every code that has one of its own', () => {
    const classes = [...page.matchAll(/^\| `(\w+Error)` \| (.*) \|$/gm)].flatMap(([, name, list = '']) => [...list.matchAll(/`([A-Z_]+)`/g)].map(([, code]) => `${code ?? ''} ${name ?? ''}`))
    const own = codes.map((code) => `${code} ${remexError(code, '').name}`).filter((text) => !text.endsWith(' RemexError'))
    expect(classes.toSorted()).toEqual(own.toSorted())
  })
})
