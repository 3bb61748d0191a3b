// Bundles dist/: the command line as one file, and the library. `--types` makes it anew, with declarations, for the package.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { argv, execPath, pid } from 'node:process'
import { build as bundle } from 'esbuild'
import { inRoot, root } from './checkout.mjs'

const DIST = inRoot('dist')
const CLI = join(DIST, 'cli.cjs')
const COMMON = { absWorkingDir: root, bundle: true, platform: 'node', target: 'node20.19', write: false, logLevel: 'silent' }

/**
 * Builds dist/. The bundles have their hash in their name and are there before the file that names them is put in place by
 * a rename, so a build that was interrupted, or that runs beside another or beside a starting `remex`, does no harm.
 */
export async function build() {
  mkdirSync(DIST, { recursive: true })
  await buildCli()
  await buildLibrary()
  prune()
}

async function buildCli() {
  const { outputFiles } = await bundle({
    ...COMMON,
    entryPoints: ['src/cli/main.ts'],
    format: 'cjs',
    supported: { 'dynamic-import': false },
    define: { 'import.meta.url': 'IMPORT_META_URL', 'import.meta.filename': '__filename', 'import.meta.dirname': '__dirname' },
    plugins: [ssh2Natives],
    banner: { js: '(({ require, filename: __filename, dirname: __dirname }) => { const exports = {}, module = { exports }, IMPORT_META_URL = require("node:url").pathToFileURL(__filename).href;' },
    footer: { js: '})' },
  })
  const source = outputFiles[0].text
  const mainFile = `main-${createHash('sha256').update(source).digest('hex').slice(0, 16)}.cjs`
  put(join(DIST, mainFile), source)
  makeCodeCache(join(DIST, mainFile))
  put(CLI, readFileSync(inRoot('scripts/loader.cjs'), 'utf8').replace('MAIN_FILE', mainFile), 0o755)
}

/**
 * The native part of ssh2 stays outside and is found from where the bundle lies; ssh2 does without where it is missing.
 * cpu-features is left out: it only orders ciphers, and Remex sets their order itself.
 */
const ssh2Natives = {
  name: 'ssh2-natives',
  setup(build) {
    build.onResolve({ filter: /sshcrypto\.node$/ }, () => ({ path: 'ssh2/lib/protocol/crypto/build/Release/sshcrypto.node', external: true }))
    build.onResolve({ filter: /^cpu-features$/ }, ({ path }) => ({ path, namespace: 'left-out' }))
    build.onLoad({ filter: /.*/, namespace: 'left-out' }, ({ path }) => ({ contents: `throw new Error('${path} is left out')` }))
  },
}

function codeCacheOf(mainPath) {
  return `${mainPath}.${process.versions.v8}-${process.arch}`
}

function makeCodeCache(mainPath) {
  // V8 accepts a cache only under the flags that it was made under, and NODE_OPTIONS may have some.
  const env = { ...process.env, NODE_OPTIONS: '' }
  const { status, stderr } = spawnSync(execPath, [inRoot('scripts/code-cache.cjs'), mainPath, codeCacheOf(mainPath)], { env, encoding: 'utf8' })
  if (status !== 0) throw new Error(`no code cache could be made (status ${status}):\n${stderr}`)
}

/** Whether the build has a code cache for this version of Node. */
export function hasCodeCache() {
  const mainFile = /main-\w+\.cjs/.exec(readFileSync(CLI, 'utf8'))?.[0]
  return mainFile !== undefined && existsSync(codeCacheOf(join(DIST, mainFile)))
}

/** Both entries in one build: what they share is one chunk, so that a class of one is the same class in the other. */
async function buildLibrary() {
  const entryPoints = { index: 'src/index.ts', testkit: 'testkit/index.ts' }
  const { outputFiles } = await bundle({
    ...COMMON,
    entryPoints,
    outdir: DIST,
    format: 'esm',
    splitting: true,
    packages: 'external',
  })
  const entryNames = Object.keys(entryPoints).map((name) => `${name}.js`)
  const isEntry = ({ path }) => entryNames.includes(basename(path))
  for (const file of outputFiles.toSorted((a, b) => Number(isEntry(a)) - Number(isEntry(b)))) put(file.path, file.contents)
}

/** Writes a file so that it is there whole or not at all. */
function put(path, contents, mode = 0o644) {
  const draft = join(dirname(path), `.${basename(path)}.${pid}`)
  writeFileSync(draft, contents)
  chmodSync(draft, mode)
  renameSync(draft, path)
}

/** Removes what earlier builds left. Not what is young: a process that just started may be about to read it. */
function prune() {
  const hourAgo = Date.now() - 3_600_000
  for (const name of readdirSync(DIST).filter((each) => /^\.?(main|chunk|cli|index|testkit)[-.]/.test(each))) {
    const path = join(DIST, name)
    const isNamed = ['cli.cjs', 'index.js', 'testkit.js'].includes(name)
    const stats = statSync(path, { throwIfNoEntry: false })
    if (!isNamed && stats && stats.mtimeMs < hourAgo) rmSync(path, { force: true })
  }
}

function buildTypes() {
  const { status } = spawnSync(execPath, [inRoot('node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'], { cwd: root, stdio: ['ignore', 2, 2] })
  if (status !== 0) throw new Error(`tsc ended with ${status}`)
}

if (basename(argv[1] ?? '') === 'build.mjs') {
  const forPackage = argv.includes('--types')
  // A package has this build only.
  if (forPackage) rmSync(DIST, { recursive: true, force: true })
  await build()
  if (forPackage) buildTypes()
}
