import { checkConfig } from './check.ts'
import { parseYaml, type ParsedFile } from './document.ts'
import { readConfigFile, type Lookup } from './locate.ts'
import { configInvalid } from './problems.ts'
import { resolveConfig, type Surroundings } from './resolve.ts'
import type { Config } from './types.ts'

/** Where a configuration comes from. */
export interface ConfigSource extends Lookup, Surroundings {
  /** The configuration itself, of the same form as a file; then no file is looked for. Undefined: a file. */
  readonly data?: unknown
}

/**
 * The configuration, checked and with its defaults: from `data`, else from `path`, `$REMEX_CONFIG`,
 * `configs/config.yml` here, or `~/.config/remex/config.yml`.
 * Throws `CONFIG_NOT_FOUND`, and `CONFIG_INVALID` with every problem of the file, each with line, column and key.
 */
export async function loadConfig(source: ConfigSource): Promise<Config> {
  if (source.data !== undefined) return checked({ data: source.data, locate: () => undefined, problems: [] }, source)
  const file = await readConfigFile(source)
  return checked(parseYaml(file.text, file.label), source, file)
}

function checked(parsed: ParsedFile, source: Surroundings, file?: { readonly label: string; readonly path: string }): Config {
  const found = checkConfig(parsed.data)
  const problems = [...parsed.problems, ...('problems' in found ? found.problems : [])]
  if ('raw' in found && problems.length === 0) return resolveConfig(found.raw, file?.path, source)
  throw configInvalid(file?.label ?? 'the configuration that was given', problems, parsed.locate)
}
