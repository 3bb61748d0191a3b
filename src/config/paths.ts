import { join, resolve } from 'node:path'

/** The directory of Remex's state: `$REMEX_STATE_DIR`, else `${XDG_STATE_HOME:-~/.local/state}/remex`. It may not exist yet. */
export function stateDir(env: NodeJS.ProcessEnv, home: string): string {
  if (env.REMEX_STATE_DIR) return resolve(expandHome(env.REMEX_STATE_DIR, home))
  // A relative XDG path is to be ignored. Source: XDG Base Directory Specification, "Environment variables".
  const base = env.XDG_STATE_HOME?.startsWith('/') ? env.XDG_STATE_HOME : join(home, '.local', 'state')
  return join(base, 'remex')
}

/** `path` with a leading `~` or `~/` replaced by `home`; any other path as it is. */
export function expandHome(path: string, home: string): string {
  return path === '~' || path.startsWith('~/') ? join(home, path.slice(1)) : path
}
