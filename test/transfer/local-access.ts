import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { Readable } from 'node:stream'
import type { CommandOptions, CommandOutput, TransferAccess } from '../../src/transfer/access.ts'
import type { Channel, ChannelExit } from '../../src/transport/contract.ts'

const DIRECTORIES = ['/usr/lib/openssh', '/usr/libexec/openssh', '/usr/lib/ssh', '/usr/libexec']

/** OpenSSH's sftp-server on this machine; undefined where there is none. */
export const sftpServerPath = DIRECTORIES.map((directory) => `${directory}/sftp-server`).find((path) => existsSync(path))

/** How the "host" is to be. */
export interface LocalHost {
  /** Where the login starts. */
  readonly home: string
  /** Flags of sftp-server. `-P` takes requests and extensions away. */
  readonly serverFlags?: readonly string[]
  /** Shell text that is run before the server, in the same process: limits, traps. */
  readonly beforeServer?: string
  /** Environment of commands. Default: that of the tests. */
  readonly env?: Readonly<Record<string, string>>
  /** Puts something between the client and the server. */
  readonly wrap?: (channel: Channel) => Channel
  /** Stands in for commands: a host without a shell, or one whose tools lie. */
  readonly run?: TransferAccess['run']
}

/** A host without SSH: a real sftp-server and a real /bin/sh on this machine. */
export function localAccess(host: LocalHost): TransferAccess {
  return {
    vmId: 'vm01',
    sftp: async () => (host.wrap ?? ((channel: Channel) => channel))(serverChannel(host)),
    run: host.run ?? ((command, options) => runLocally(host, command, options)),
  }
}

function serverChannel({ home, serverFlags = [], beforeServer }: LocalHost): Channel {
  if (sftpServerPath === undefined) throw new Error('there is no sftp-server on this machine')
  const command = [sftpServerPath, '-e', ...serverFlags]
  return childChannel(beforeServer === undefined ? command : ['/bin/sh', '-c', `${beforeServer}; exec "$@"`, 'sh', ...command], home)
}

/** A channel to a process of this machine. Closing it ends the process. */
export function childChannel(command: readonly string[], cwd: string): Channel {
  const [program = '', ...args] = command
  const child = spawn(program, args, { cwd, stdio: ['pipe', 'pipe', 'pipe'] })
  child.stdin.on('error', () => undefined)
  const exit = new Promise<ChannelExit>((resolve) => {
    child.once('error', () => resolve({ kind: 'lost' }))
    child.once('exit', (code, signal) => {
      resolve(code === null ? { kind: 'signaled', signal: signal ?? '' } : { kind: 'exited', exitCode: code })
    })
  })
  return {
    stdin: child.stdin,
    stdout: child.stdout,
    stderr: child.stderr,
    isOutputWhole: true,
    exit,
    closed: new Promise((resolve) => child.once('close', () => resolve())),
    signal: () => undefined,
    close: () => void child.kill('SIGKILL'),
  }
}

function runLocally(host: LocalHost, command: readonly string[] | string, { signal, stdin, onOutput }: CommandOptions = {}): Promise<CommandOutput> {
  const { home, env } = host
  const [program = '', ...args] = typeof command === 'string' ? ['/bin/sh', '-c', command] : command
  const child = spawn(program, args, { cwd: home, env: env ?? process.env, stdio: ['pipe', 'pipe', 'pipe'] })
  child.stdin.on('error', () => undefined)
  if (stdin instanceof Readable) stdin.pipe(child.stdin)
  else child.stdin.end(stdin)
  signal?.addEventListener('abort', () => child.kill('SIGKILL'), { once: true })
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  const collect = (name: 'stdout' | 'stderr', chunks: Buffer[]) => (chunk: Buffer): void => {
    void onOutput?.(name, chunk)
    chunks.push(chunk)
  }
  child.stdout.on('data', collect('stdout', stdout))
  child.stderr.on('data', collect('stderr', stderr))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (exitCode) => {
      if (signal?.aborted) reject(signal.reason)
      else resolve({ exitCode, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) })
    })
  })
}
