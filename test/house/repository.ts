import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

/** The top of the checkout. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** What tools and builds make, and what is not ours. */
const NOT_OURS = new Set(['.git', '.remex', 'coverage', 'dist', 'node_modules', 'results'])

/** Paths of all files of the repository, from its top, with `/`. */
export function allFiles(directory = ''): readonly string[] {
  return readdirSync(join(root, directory), { withFileTypes: true })
    .filter(({ name }) => !NOT_OURS.has(name))
    .flatMap((entry) => {
      const path = posix.join(directory, entry.name)
      return entry.isDirectory() ? allFiles(path) : [path]
    })
}

/** The text of a file of the repository. */
export function textOf(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

/** A parsed TypeScript file. */
export interface Module {
  readonly path: string
  readonly text: string
  readonly source: ts.SourceFile
}

/** The TypeScript files under these directories of the repository. */
export function modulesUnder(...directories: readonly string[]): readonly Module[] {
  return allFiles()
    .filter((path) => path.endsWith('.ts') && directories.some((directory) => path.startsWith(`${directory}/`)))
    .map((path) => {
      const text = textOf(path)
      return { path, text, source: ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true) }
    })
}

/** `path:line`, for a message that an editor can follow. */
export function placeOf({ path, source }: Module, node: ts.Node): string {
  return `${path}:${source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1}`
}

/** `visit` for every node of the file, outer ones first. */
export function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node)
  node.forEachChild((child) => {
    walk(child, visit)
  })
}
