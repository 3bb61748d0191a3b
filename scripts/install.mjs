import { spawn } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { delimiter, dirname } from 'node:path'
import { inRoot, root, say } from './checkout.mjs'

/** npm writes it last, so it is there only after an install that came to its end. */
const INSTALLED = inRoot('node_modules/.package-lock.json')

/** Whether node_modules is what package-lock.json says, whoever installed it. */
export function isInstalled() {
  try {
    return matches(packagesOf(inRoot('package-lock.json')), packagesOf(INSTALLED))
  } catch {
    return false
  }
}

function packagesOf(path) {
  const { '': _ourselves, ...packages } = JSON.parse(readFileSync(path, 'utf8')).packages
  return packages
}

/** Optional packages are for other platforms where they are missing; nothing may be there that the lock does not have. */
function matches(locked, installed) {
  if (Object.keys(installed).some((path) => !(path in locked))) return false
  return Object.entries(locked).every(([path, { version, integrity, optional }]) => {
    const there = installed[path]
    return there ? there.version === version && there.integrity === integrity : optional === true
  })
}

/** Installs what the lock file says. An interrupted install is known by the missing INSTALLED, and repeated. */
export async function install(signal) {
  say('installing the locked dependencies (npm ci)')
  rmSync(INSTALLED, { force: true })
  // The user's own npm settings may leave out what the build needs.
  const status = await npm(['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--no-update-notifier'], signal)
  if (status !== 0) throw Object.assign(new Error(`npm ci failed (${status}); what it said is above. Mend that, then repeat`), { endedBy: status })
}

/** Runs npm under the Node that runs us. All it says goes to stderr. */
function npm(args, signal) {
  const env = { ...process.env, PATH: dirname(process.execPath) + delimiter + (process.env.PATH ?? '/usr/bin:/bin') }
  const child = spawn('npm', args, { cwd: root, env, stdio: ['ignore', 2, 2] })
  const stop = () => child.kill('SIGTERM')
  signal.addEventListener('abort', stop, { once: true })
  return new Promise((resolve, reject) => {
    child.on('close', (code, killedBy) => resolve(code ?? killedBy))
    child.on('error', (error) => reject(error.code === 'ENOENT' ? new Error('npm is not there; it belongs to Node.js (Debian: apt-get install npm)') : error))
  }).finally(() => signal.removeEventListener('abort', stop))
}
