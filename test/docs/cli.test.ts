import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { CATALOGUE } from '../../src/cli/catalogue.ts'
import { makeProgram } from '../../src/cli/program.ts'
import { prepared } from '../../src/cli/prepared.ts'
import { shellWords } from './shell-words.ts'

const ROOT = join(import.meta.dirname, '../..')
const PAGES = ['README.md', 'docs/cli.md', 'docs/keys.md', 'docs/durable.md', 'docs/troubleshooting.md', 'docs/hardening.md', 'docs/testing.md', 'docs/configuration.md', 'docs/policy.md', 'docs/audit.md', 'docs/architecture.md', 'CONTRIBUTING.md', 'SECURITY.md']

const page = await readFile(join(ROOT, 'docs/cli.md'), 'utf8')
/** The program with every command as it is, and nothing behind them. */
const commands = await Promise.all(CATALOGUE.map(async ({ name, load }) => {
  const command = prepared(new Command(name))
  const define = await load()
  define(command, () => Promise.resolve())
  return command
}))
const all = commands.flatMap((command) => [command, ...command.commands])
const flags = [...new Set(all.flatMap(({ options }) => options.flatMap(({ long, short }) => [long, short])).filter((flag) => flag !== undefined)), '--help']

describe('docs/cli.md', () => {
  it('names every option that a command has', () => {
    expect(flags.filter((flag) => !new RegExp(`\`${flag}[\\s\`\\[=]`).test(page))).toEqual([])
  })

  it('names no option that no command has', () => {
    const named = [...page.matchAll(/`(--?[a-z][a-z-]*)/g)].map(([, flag]) => flag)
    expect(named.filter((flag) => flag !== undefined && !flags.includes(flag))).toEqual([])
  })

  it('names every command', () => {
    const names = commands.flatMap((command) => (command.commands.length > 0 ? command.commands.map((one) => `${command.name()} ${one.name()}`) : [command.name()]))
    expect(names.filter((name) => !page.includes(`\`${name}`))).toEqual([])
  })
})

/** What a page tells users to type: lines of sh blocks, `$ remex …` of shown output, and commands within text. */
async function typed(): Promise<readonly (readonly [page: string, line: string])[]> {
  const lines = await Promise.all(PAGES.map(async (path) => {
    const text = await readFile(join(ROOT, path), 'utf8')
    const blocks = [...text.matchAll(/^```(\w*)\n(.*?)^```/gms)].flatMap(([, kind, body = '']) =>
      body.split('\n').map((line) => (line.startsWith('$ ') ? line.slice(2) : kind === 'sh' ? line : '')))
    const prose = [...text.replaceAll(/^```.*?^```/gms, '').matchAll(/`((?:\.\/)?remex [a-z][^`]*)`/g)].map(([, line = '']) => line)
    return [...blocks, ...prose].map((line) => [path, line.trim()] as const)
  }))
  return lines.flat().filter(([, line]) => /^(\.\/)?remex( |$)/.test(line) && !/…|<(?!\/)|\[command\]/.test(line))
}

/** Parses it as the program would, without doing anything. Rejects for what is wrong. */
async function parse(line: string): Promise<void> {
  const words = shellWords(line).slice(1)
  const behind = words.indexOf('--')
  const hasWords = ['run', 'script', 'policy'].includes(words.find((word) => !word.startsWith('-')) ?? '')
  const head = hasWords && behind !== -1 ? words.slice(0, behind) : words
  const program = makeProgram({ start: () => Promise.resolve(), print: () => undefined })
  await program.parseAsync(head.map((word) => (word === '--sudo' ? '--sudo=root' : word)), { from: 'user' }).catch((error: unknown) => {
    if (!(error instanceof Error && 'exitCode' in error && error.exitCode === 0)) throw error
  })
}

describe('what the pages tell users to type', () => {
  it('is found', async () => {
    expect((await typed()).length).toBeGreaterThan(60)
  })

  it('can be typed', async () => {
    const wrong: string[] = []
    for (const [path, line] of await typed()) await parse(line).catch((error: unknown) => wrong.push(`${path}: ${line}: ${String(error)}`))
    expect(wrong).toEqual([])
  })

  it.each(['remex rnu vm01', 'remex run vm01 --tiemout 3 -- true', 'remex hosts lst', 'remex put vm01 only-one'])('would be found wrong if it were "%s"', async (line) => {
    await expect(parse(line)).rejects.toMatchObject({ code: 'USAGE' })
  })
})
