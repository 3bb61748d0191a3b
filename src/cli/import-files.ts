import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import picomatch from 'picomatch'
import type { VarsFile, VarsKind } from '../config/import/ansible.ts'
import type { SourceFile } from '../config/import/imported.ts'
import { errorCode, localFileError } from '../core/atomic-file.ts'
import { readWhole } from '../core/bounded-read.ts'
import { remexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'

/** A larger file describes no hosts. */
const LARGEST_BYTES = 16 * 1024 * 1024
/** More than an import takes, so that it can say so. */
const MOST_MATCHES = 2_000

/** The endings of a file of variables, in the order in which Ansible looks for them. */
const VARS_ENDINGS = ['', '.yml', '.yaml', '.json']

/**
 * The text of the file at `path`, shown as `label`. Throws `LOCAL_NOT_FOUND`, `PERMISSION_DENIED`, `USAGE` for a directory,
 * and `CONFIG_INVALID` for what is not UTF-8 or larger than 16 MiB.
 */
export async function readSource(path: string, label: string): Promise<SourceFile> {
  try {
    return { path: label, text: new TextDecoder('utf-8', { fatal: true }).decode(await sourceBytes(path, label)) }
  } catch (error) {
    if (errorCode(error) === 'EISDIR') throw remexError('USAGE', `${printable(label)} is a directory`, { hint: 'Name a file in it.', cause: error })
    if (error instanceof TypeError) throw remexError('CONFIG_INVALID', `${printable(label)} is not UTF-8 text`, { hint: 'Name another file.', cause: error })
    throw localFileError(error, label)
  }
}

async function sourceBytes(path: string, label: string): Promise<Buffer> {
  const data = await readWhole(path, LARGEST_BYTES)
  if (data) return data
  throw remexError('CONFIG_INVALID', `${printable(label)} is larger than 16 MiB`, { hint: 'Name another file.' })
}

/** Whether there is a file at `path` that is no directory, device or pipe. */
export async function isFile(path: string): Promise<boolean> {
  return stat(path).then((stats) => stats.isFile(), () => false)
}

/** The files that an absolute path with the wildcards of glob(7) names, by name. */
export async function readMatching(pattern: string): Promise<readonly SourceFile[]> {
  let paths = ['/']
  for (const part of pattern.split('/').filter((one) => one !== '')) {
    paths = (await Promise.all(paths.map((path) => matchesIn(path, part)))).flat().slice(0, MOST_MATCHES)
  }
  const files: SourceFile[] = []
  for (const path of paths) if (await isFile(path)) files.push(await readSource(path, path))
  return files
}

async function matchesIn(directory: string, part: string): Promise<readonly string[]> {
  if (!/[*?[]/.test(part)) return [join(directory, part)]
  const isMatch = picomatch(part, { nobrace: true, noextglob: true, noglobstar: true, nonegate: true })
  const names = await readdir(directory).catch(() => [])
  return names.filter((name) => isMatch(name)).sort().map((name) => join(directory, name))
}

/**
 * The files of `group_vars` or `host_vars` in `directory` that belong to `names`. The directory is listed and no path is
 * made of a name, which may be anything, `../x` too.
 */
export async function readVarsFiles(directory: string, kind: VarsKind, names: ReadonlySet<string>): Promise<readonly VarsFile[]> {
  const entries = new Set(await namesIn(join(directory, kind)))
  const files: VarsFile[] = []
  for (const name of [...names].filter((one) => !one.includes('/'))) {
    const entry = VARS_ENDINGS.map((ending) => name + ending).find((one) => entries.has(one))
    if (entry === undefined) continue
    for (const path of await varsPaths(join(directory, kind, entry))) files.push({ ...(await readSource(path, path)), name })
  }
  return files
}

/** Of a directory the files in it, as Ansible takes them. */
async function varsPaths(path: string): Promise<readonly string[]> {
  const stats = await stat(path).catch(() => undefined)
  if (!stats?.isDirectory()) return stats?.isFile() ? [path] : []
  const names = (await namesIn(path)).filter((name) => !/^\.|~$/.test(name) && VARS_ENDINGS.some((ending) => (ending === '' ? !name.includes('.') : name.endsWith(ending))))
  return (await Promise.all(names.sort().map((name) => varsPaths(join(path, name))))).flat()
}

async function namesIn(directory: string): Promise<readonly string[]> {
  return readdir(directory).catch((error: unknown) => {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return []
    throw localFileError(error, directory)
  })
}
