import { existsSync } from 'node:fs'
import { join, posix } from 'node:path'
import { describe, expect, it } from 'vitest'
import { allFiles, root, textOf } from './repository.ts'

describe('links in Markdown', () => {
  const links = allFiles().filter((path) => path.endsWith('.md')).flatMap(relativeLinks)

  it('point at files that are there', () => {
    expect(links.filter(({ target }) => !existsSync(join(root, target))).map(({ place }) => place)).toEqual([])
  })

  it('name headings that are there', () => {
    const wrong = links.filter(({ target, heading }) => heading && target.endsWith('.md') && existsSync(join(root, target)) && !headings(target).has(heading))
    expect(wrong.map(({ place }) => place)).toEqual([])
  })
})

describe('CHANGELOG.md', () => {
  it('has the version of package.json', () => {
    const { version } = JSON.parse(textOf('package.json')) as { version: string }
    expect(textOf('CHANGELOG.md').split('\n').filter((line) => line.startsWith('## ')).join('\n')).toContain(version)
  })
})

interface Link {
  /** `path: link as it is written`. */
  readonly place: string
  /** Path from the top of the repository. */
  readonly target: string
  /** What follows `#`; empty where nothing does. */
  readonly heading: string
}

function relativeLinks(path: string): readonly Link[] {
  return [...prose(path).matchAll(/\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)/g)]
    .map((match) => match[1] ?? '')
    .filter((link) => !/^[a-z][a-z+.-]*:/i.test(link))
    .map((link) => {
      const [file = '', heading = ''] = decodeURIComponent(link).split('#')
      return { place: `${path}: ${link}`, target: file ? posix.join(posix.dirname(path), file) : path, heading }
    })
}

/** The text without its code, where brackets mean other things. */
function prose(path: string): string {
  return textOf(path).replaceAll(/^(```|~~~)[^]*?^\1/gm, '').replaceAll(/`[^`\n]*`/g, '')
}

/** The anchors that GitHub makes of headings. */
function headings(path: string): ReadonlySet<string> {
  const lines = textOf(path).replaceAll(/^(```|~~~)[^]*?^\1/gm, '').split('\n').filter((line) => /^#+ /.test(line))
  return new Set(lines.map((line) => line.replace(/^#+ /, '').trim().toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(/\s/g, '-')))
}
