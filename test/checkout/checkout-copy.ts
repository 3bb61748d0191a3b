import { spawn } from 'node:child_process'
import { constants, copyFileSync, cpSync, linkSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const repository = dirname(dirname(import.meta.dirname))

/** Stands where the registry would be: it records the call, and installs by linking to the packages of this repository. */
const NPM = `#!/bin/sh
echo "$@" >>"$REMEX_TEST_NPM_LOG"
echo 'npm says this on its stdout'
rm -rf node_modules
mkdir -p node_modules/@esbuild
ln -s '${join(repository, 'node_modules/esbuild')}' node_modules/esbuild
if [ -n "$REMEX_TEST_NPM_SIGNAL" ]; then kill -s "$REMEX_TEST_NPM_SIGNAL" $$; fi
if [ -e "$REMEX_TEST_NPM_LOG.hold" ]; then exec tail -f /dev/null; fi
cp package-lock.json node_modules/.package-lock.json
`

/** A command line small enough to build at once: it prints its arguments. */
const MAIN = `process.stdout.write(\`ran \${process.argv.slice(2).join('|')}\\n\`)\n`

/** How a call of ./remex ended. */
export interface Call {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** What a call differs in from the ordinary. */
export interface CallOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** The program; default: the checkout's ./remex. */
  readonly program?: string
  /** The user id to run as; default: ours. */
  readonly uid?: number
}

/** A checkout of its own with a small command line, and with an npm that works without a network. */
export class CheckoutCopy implements Disposable {
  readonly #top = realpathSync(mkdtempSync(join(tmpdir(), 'remex-checkout-')))
  readonly #npmLog = join(this.#top, 'npm.log')
  /** The directory has a space in its name, and begins with a dash. */
  readonly root = join(this.#top, '-a checkout')

  constructor() {
    cpSync(join(repository, 'remex'), join(this.root, 'remex'))
    cpSync(join(repository, 'scripts'), join(this.root, 'scripts'), { recursive: true })
    this.write('package.json', readFileSync(join(repository, 'package.json'), 'utf8'))
    this.write('package-lock.json', JSON.stringify({ packages: { '': {}, 'node_modules/esbuild': { version: '1.0.0', integrity: 'sha512-1' } } }))
    this.write('src/cli/main.ts', MAIN)
    this.write('src/index.ts', 'export const library = 1\n')
    this.write('testkit/index.ts', 'export const kit = 1\n')
    this.#provideNode()
    writeFileSync(this.#npmLog, '')
  }

  /** npm is taken from beside the running Node, so that one has to lie beside ours. */
  #provideNode(): void {
    mkdirSync(join(this.#top, 'bin'))
    const node = join(this.#top, 'bin/node')
    try {
      linkSync(process.execPath, node)
    } catch {
      copyFileSync(process.execPath, node, constants.COPYFILE_FICLONE)
    }
    writeFileSync(join(this.#top, 'bin/npm'), NPM, { mode: 0o755 })
  }

  /** Writes a file of the checkout, and the directories above it. */
  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true })
    writeFileSync(join(this.root, path), text)
  }

  /** One line for each call of npm: its arguments. */
  get npmCalls(): readonly string[] {
    return readFileSync(this.#npmLog, 'utf8').split('\n').filter(Boolean)
  }

  /** From now on an install stops in the middle, with half of node_modules there; or no more. */
  set holdsInstalls(holds: boolean) {
    if (holds) writeFileSync(`${this.#npmLog}.hold`, '')
    else rmSync(`${this.#npmLog}.hold`, { force: true })
  }

  /** Starts ./remex in a process group of its own; `pid` is that of the group. */
  start(args: readonly string[], options: CallOptions = {}): { readonly pid: number; readonly ended: Promise<Call> } {
    const env = { PATH: `${join(this.#top, 'bin')}:/usr/bin:/bin`, REMEX_TEST_NPM_LOG: this.#npmLog, ...options.env }
    const settings = { cwd: options.cwd ?? '/', env, detached: true, ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }) }
    const child = spawn(options.program ?? join(this.root, 'remex'), args, { ...settings, stdio: ['ignore', 'pipe', 'pipe'] })
    const output = { stdout: '', stderr: '' }
    child.stdout.on('data', (chunk) => (output.stdout += String(chunk)))
    child.stderr.on('data', (chunk) => (output.stderr += String(chunk)))
    const ended = new Promise<Call>((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (status) => {
        resolve({ status, ...output })
      })
    })
    return { pid: child.pid ?? 0, ended }
  }

  /** Calls ./remex and waits for its end. */
  run(args: readonly string[], options?: CallOptions): Promise<Call> {
    return this.start(args, options).ended
  }

  [Symbol.dispose](): void {
    rmSync(this.#top, { recursive: true, force: true })
  }
}
