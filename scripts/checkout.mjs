import { readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The top of the checkout. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** A path inside the checkout. */
export const inRoot = (...parts) => join(root, ...parts)

/** What the build is made of. `remex` has the same list. */
const SOURCES = ['src', 'testkit', 'scripts', 'package.json', 'package-lock.json']

/** Whether a source was changed, added or removed since `timeMs`. A directory's own time tells of what was removed. */
export function sourcesChangedSince(timeMs) {
  return SOURCES.some((name) => changedSince(inRoot(name), timeMs))
}

function changedSince(path, timeMs) {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (!stats || stats.mtimeMs > timeMs) return true
  return stats.isDirectory() && readdirSync(path).some((name) => changedSince(join(path, name), timeMs))
}

/** Tells a person; never on stdout, which belongs to the command. */
export function say(text) {
  process.stderr.write(`remex: ${text}\n`)
}
