import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { quoteWords } from '../../src/core/quote.ts'
import { startSshServer, type SshServerOptions, type TestSshServer } from '../../testkit/ssh-server.ts'
import { until } from '../../testkit/until.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const CLI = join(ROOT, 'dist', 'cli.cjs')
const BUILD = `import { statSync } from 'node:fs'
import { build } from './scripts/build.mjs'
import { sourcesChangedSince } from './scripts/checkout.mjs'
const stats = statSync('dist/cli.cjs', { throwIfNoEntry: false })
if (!stats || sourcesChangedSince(stats.mtimeMs)) await build()`

/** Builds dist/ where it is older than the sources. Test files that do so at once do no harm. */
export function buildCommandLine(): void {
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', BUILD], { cwd: ROOT, encoding: 'utf8' })
  if (status !== 0) throw new Error(`the build failed:\n${stderr}`)
}

/** How a command line ended. */
export interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
  /** As it was written, for output that is no text. */
  readonly stdoutBytes: Buffer
  /** Every line of stdout as JSON. Throws where one is not. */
  readonly rows: Record<string, unknown>[]
}

/** What a command line is started with besides its words. */
export interface CallOptions {
  readonly env?: NodeJS.ProcessEnv
  /** Standard input. Default: nothing, at its end. */
  readonly input?: string | Buffer
  readonly cwd?: string
}

/** A directory with a configuration, and servers behind its hosts; and the real command line, as a process. */
export class Workshop implements AsyncDisposable {
  readonly folder: string
  readonly servers: ReadonlyMap<string, TestSshServer>

  private constructor(folder: string, servers: ReadonlyMap<string, TestSshServer>) {
    this.folder = folder
    this.servers = servers
  }

  /** Starts one server for each id, and enrols them all. */
  static async with(ids: readonly string[], options: WorkshopOptions = {}): Promise<Workshop> {
    const folder = await mkdtemp(join(tmpdir(), 'remex-cli-'))
    const servers = new Map<string, TestSshServer>()
    for (const id of ids) servers.set(id, await startSshServer(options.servers?.[id] ?? {}))
    const workshop = new Workshop(folder, servers)
    await workshop.#furnish(options)
    return workshop
  }

  server(id: string): TestSshServer {
    const server = this.servers.get(id)
    if (!server) throw new Error(`no server ${id}`)
    return server
  }

  path(...names: string[]): string {
    return join(this.folder, ...names)
  }

  /** Starts the command line in the folder. */
  start(words: readonly string[], { env = {}, cwd = this.folder }: CallOptions = {}): ChildProcess {
    return spawn(process.execPath, [CLI, ...words], { cwd, env: this.#env(env), stdio: 'pipe' })
  }

  /** Starts the command line on a terminal of its own, made by script(1): all it prints comes on stdout. */
  startOnTerminal(words: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
    return this.startTextOnTerminal(this.commandText(words), env)
  }

  /** Starts shell text on a terminal of its own. */
  startTextOnTerminal(text: string, env: NodeJS.ProcessEnv = {}): ChildProcess {
    return spawn('script', ['-qefc', text, '/dev/null'], { cwd: this.folder, env: this.#env({ SHELL: '/bin/sh', TERM: 'xterm', ...env }), stdio: 'pipe' })
  }

  /** The command line as shell text. */
  commandText(words: readonly string[]): string {
    return quoteWords([process.execPath, CLI, ...words])
  }

  #env(more: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
    return { PATH: process.env['PATH'], HOME: this.folder, REMEX_STATE_DIR: this.path('state'), REMEX_CONFIG: this.path('config.yml'), ...more }
  }

  /** Runs the command line in the folder to its end. */
  async call(words: readonly string[], options: CallOptions = {}): Promise<Ended> {
    const child = this.start(words, options)
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(options.input ?? '')
    return ended(child)
  }

  /** All audit records so far, as the file has them. */
  async auditText(): Promise<string> {
    return readFile(this.path('audit', 'audit.jsonl'), 'utf8')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.servers.values()].map((server) => server.close()))
    await rm(this.folder, { recursive: true, force: true })
  }

  async #furnish({ hosts = {}, trusted = true }: WorkshopOptions): Promise<void> {
    await mkdir(this.path('keys'), { mode: 0o700 })
    const lines: string[] = []
    for (const [id, server] of this.servers) {
      await writeFile(this.path('keys', `id_ed25519_${id}`), server.privateKey, { mode: 0o600 })
      if (trusted) lines.push(server.knownHosts)
    }
    const vms = Object.fromEntries([...this.servers].map(([id, { address, port, login }]) => [id, { ip: address, ssh_port: port, ssh_user: login, ...hosts[id] }]))
    const others = Object.entries(hosts).filter(([id]) => !this.servers.has(id))
    const settings = { key_storage_path: this.path('keys'), known_hosts_path: this.path('known_hosts'), audit_log_path: this.path('audit'), default_retry: 1, connect_timeout: '5s' }
    await writeFile(this.path('known_hosts'), lines.join(''))
    await writeFile(this.path('config.yml'), JSON.stringify({ vms: { ...vms, ...Object.fromEntries(others) }, remote_execution: settings }))
  }
}

/** What differs from a plain workshop. */
export interface WorkshopOptions {
  readonly servers?: Readonly<Record<string, SshServerOptions>>
  /** More keys of `vms:` entries, also of hosts without a server. */
  readonly hosts?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  /** Whether the host keys are known. Default: true. */
  readonly trusted?: boolean
}

/** Waits for the end of a command line and gives all it printed. */
export async function ended(child: ChildProcess): Promise<Ended> {
  const status = new Promise<number | null>((resolve, reject) => child.once('close', resolve).once('error', reject))
  const [stdoutBytes, stderrBytes] = await Promise.all([child.stdout ? buffer(child.stdout) : Buffer.alloc(0), child.stderr ? buffer(child.stderr) : Buffer.alloc(0)])
  const stdout = stdoutBytes.toString('utf8')
  return {
    status: await status,
    stdout,
    stderr: stderrBytes.toString('utf8'),
    stdoutBytes,
    get rows() {
      return stdout.split('\n').slice(0, -1).map((line): Record<string, unknown> => JSON.parse(line))
    },
  }
}

/** A question of ours, and what is typed then. */
export type Answer = readonly [question: string, typed: string]

/** Types each answer after its question, and gives all that was on the terminal. */
export async function typed(child: ChildProcess, answers: readonly Answer[]): Promise<Ended> {
  const end = ended(child)
  let seen = ''
  child.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString()))
  for (const [question, keys] of answers) {
    await until(() => seen.includes(question), { what: `the question ${question}` })
    child.stdin?.write(keys)
  }
  return end
}
