import { accessSync, constants, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { execPath, pid } from 'node:process'
import { inRoot, root, say, sourcesChangedSince } from './checkout.mjs'
import { install, isInstalled } from './install.mjs'
import { withLock } from './lock.mjs'

const STATE = inRoot('.remex')
const LOCK = inRoot('.remex/lock')
/** As old as the sources that the build was made of; its lines are Nodes that ./remex need not examine again. */
const READY = inRoot('.remex/ready')
const CLI = inRoot('dist/cli.cjs')

/**
 * Installs and builds what is not current, under a lock, so that of several callers one works and the others wait.
 * `wanted` is the Node that was asked for (undefined: none was): ./remex will know next time that this program is behind it.
 */
export async function makeReady(wanted, signal) {
  if (!isWritable()) return useAsItIs()
  mkdirSync(STATE, { recursive: true })
  const onWait = (holder) => say(`waiting for process ${holder}, which is setting up ${root}`)
  await withLock(LOCK, () => bringUpToDate(wanted, signal), { onWait, signal })
}

async function bringUpToDate(wanted, signal) {
  const draft = `${READY}.${pid}`
  try {
    // Made before the build, so that a source that is changed during the build counts as changed. By the file system's clock.
    writeFileSync(draft, '')
    const nowSeconds = statSync(draft).mtimeMs / 1000
    if (!isInstalled()) await install(signal)
    // Only now: the install brings the bundler.
    const { build, hasCodeCache } = await import('./build.mjs')
    const current = isCurrent()
    if (!current || !hasCodeCache()) await build()
    writeFileSync(draft, knownNodes(wanted, current).join(''))
    const readySeconds = current ? statSync(READY).mtimeMs / 1000 : nowSeconds
    utimesSync(draft, readySeconds, readySeconds)
    renameSync(draft, READY)
  } finally {
    rmSync(draft, { force: true })
  }
}

/** Whether there is a build, and of these sources. */
function isCurrent() {
  const stats = statSync(READY, { throwIfNoEntry: false })
  return stats !== undefined && existsSync(CLI) && !sourcesChangedSince(stats.mtimeMs)
}

function knownNodes(wanted, current) {
  const known = current ? readFileSync(READY, 'utf8').split(/(?<=\n)/) : []
  // A relative path is another program elsewhere.
  if (!/^(none|\/[^|\n]*)$/.test(wanted ?? '') || execPath.includes('\n')) return known
  return [...known.filter((line) => !line.startsWith(`${wanted}|`)), `${wanted}|${execPath}\n`]
}

function isWritable() {
  const paths = [root, STATE, inRoot('dist')].filter((path) => path === root || existsSync(path))
  try {
    for (const path of paths) accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** For a checkout that cannot be written: what is built is used. */
function useAsItIs() {
  if (!existsSync(CLI)) throw new Error(`${root} is not built and cannot be written. Run ./remex --version there once as a user who may`)
  if (!isCurrent()) say(`${root} cannot be written; using the build that is there, which is older than its sources`)
}
