import { join, resolve } from 'node:path'
import { readWhole } from '../core/bounded-read.ts'
import { remexError, type RemexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import { expandHome } from './paths.ts'

/** A file of this size has some hundred thousand hosts; a larger one is not a configuration. */
const LARGEST_BYTES = 16 * 1024 * 1024

/** Where to look for the configuration file. */
export interface Lookup {
  /** From `--config` or the API; undefined: not given. */
  readonly path?: string | undefined
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  readonly home: string
}

/** A configuration file that was read. */
export interface ConfigFile {
  /** As it was given, for messages. */
  readonly label: string
  /** Absolute. */
  readonly path: string
  readonly text: string
}

/**
 * The text of the file named by `path`, else by `$REMEX_CONFIG`, else of `configs/config.yml` here, else of
 * `~/.config/remex/config.yml`. A named file that is missing is never replaced by another.
 * Throws `CONFIG_NOT_FOUND` (listing where it looked) and `CONFIG_INVALID` (it is there but cannot be read, is not UTF-8
 * or is larger than 16 MiB).
 */
export async function readConfigFile(lookup: Lookup): Promise<ConfigFile> {
  const { path, env, cwd, home } = lookup
  if (path !== undefined) return (await readAt(path, lookup)) ?? missing(path, 'named by --config or the caller', lookup)
  if (env.REMEX_CONFIG) return (await readAt(env.REMEX_CONFIG, lookup)) ?? missing(env.REMEX_CONFIG, 'named by $REMEX_CONFIG', lookup)
  const usual = [join('configs', 'config.yml'), join(home, '.config', 'remex', 'config.yml')]
  for (const candidate of usual) {
    const file = await readAt(candidate, lookup)
    if (file) return file
  }
  const looked = usual.map((at) => printable(resolve(cwd, at))).join(' and ')
  const named = 'neither --config nor $REMEX_CONFIG names one'
  throw remexError('CONFIG_NOT_FOUND', `there is no configuration file: ${named}, and ${looked} are not there`)
}

function missing(path: string, by: string, { cwd, home }: Lookup): never {
  const shown = path === '' ? 'with an empty name' : printable(resolve(cwd, expandHome(path, home)))
  throw remexError('CONFIG_NOT_FOUND', `the configuration file ${shown}, ${by}, is not there`)
}

/** Undefined where there is no such file. */
async function readAt(label: string, { cwd, home }: Lookup): Promise<ConfigFile | undefined> {
  if (label === '') return undefined
  const path = resolve(cwd, expandHome(label, home))
  try {
    return { label, path, text: decode(await fileBytes(path)) }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw unreadable(label, error)
  }
}

async function fileBytes(path: string): Promise<Buffer> {
  const data = await readWhole(path, LARGEST_BYTES)
  if (data) return data
  throw new Error('it is larger than 16 MiB')
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new Error('it is not UTF-8 text')
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EISDIR: 'it is a directory',
  ELOOP: 'its symbolic links go in a circle',
}

function unreadable(label: string, error: unknown): RemexError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined
  const message = error instanceof Error ? error.message : String(error)
  const reason = code === undefined ? message : (REASONS[code] ?? code)
  return remexError('CONFIG_INVALID', `the configuration file ${printable(label)} cannot be read: ${reason}`, {
    hint: 'Name a readable YAML file with --config.',
    cause: error,
  })
}
