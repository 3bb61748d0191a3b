import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { quoteWord } from '../core/quote.ts'

/** The directory of Remex itself: of the checkout, or of the installed package. Throws where neither can be. */
export function packageRoot(from = import.meta.dirname): string {
  for (let at = from; at !== dirname(at); at = dirname(at)) if (existsSync(join(at, 'package.json'))) return at
  throw new Error('the package of remex is not whole: there is no package.json')
}

/** What a user types to start remex, for advice: `remex`, or in a checkout the path of its script. */
export function programName(cwd = process.cwd()): string {
  const root = packageRoot()
  const script = join(root, 'remex')
  // Not in an installed package.
  if (!existsSync(script)) return 'remex'
  return cwd === root ? './remex' : quoteWord(script)
}

/** The version in package.json. */
export function packageVersion(): string {
  const parsed: unknown = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8'))
  const version = typeof parsed === 'object' && parsed !== null && 'version' in parsed ? parsed.version : undefined
  return typeof version === 'string' ? version : 'unknown'
}
