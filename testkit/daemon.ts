import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { freePort } from './loopback.ts'
import { endProcesses } from './processes.ts'
import { until } from './until.ts'

/** Something that could not be started here, and why. A test skips with this reason. */
export interface Skipped {
  readonly skipped: string
}

/** A server program that runs in the foreground and writes its log to stderr. */
export interface DaemonPlan {
  readonly file: string
  /** Arguments that make it listen on this port. */
  readonly args: (port: number) => readonly string[] | Promise<readonly string[]>
  readonly logPath: string
  /** What the log says once it listens. */
  readonly listening: RegExp
  /** Environment entry of everything it starts, where it can be given one. */
  readonly marker?: string
  /** More of its environment. Default: none. */
  readonly env?: Readonly<Record<string, string>>
}

/** A server program that listens. */
export interface Daemon {
  readonly port: number
  readonly pid: number
  /** What it has logged so far. */
  log(): Promise<string>
  /** Ends it, its sessions and what they started. */
  close(): Promise<void>
}

/**
 * Starts the program on a free port, and again on another when somebody takes the port first.
 * Its log says when it listens, so that no connection is wasted on finding out. Throws with the log when it does not come up.
 */
export async function startDaemon(plan: DaemonPlan): Promise<Daemon> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    const child = await launch(plan, await plan.args(port))
    if (await comesUp(plan, child)) return daemon(plan, child, port)
    const log = await readFile(plan.logPath, 'utf8')
    if (attempt === 5 || !/address already in use/i.test(log)) throw new Error(`${plan.file} does not come up:\n${log}`)
  }
}

/** Where a program is: in the PATH or where system programs are. Undefined when it is not installed. */
export function findProgram(name: string): string | undefined {
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/local/sbin']
  return directories.map((directory) => join(directory, name)).find((path) => existsSync(path))
}

async function launch(plan: DaemonPlan, args: readonly string[]): Promise<ChildProcess> {
  const log = await open(plan.logPath, 'w', 0o600)
  const child = spawn(plan.file, args, { stdio: ['ignore', log.fd, log.fd], detached: true, cwd: '/', env: { ...process.env, ...plan.env } })
  child.on('error', () => undefined)
  await log.close()
  return child
}

async function comesUp(plan: DaemonPlan, child: ChildProcess): Promise<boolean> {
  const ended = (): boolean => child.pid === undefined || child.exitCode !== null || child.signalCode !== null
  const listens = async (): Promise<boolean> => plan.listening.test(await readFile(plan.logPath, 'utf8'))
  await until(async () => ended() || (await listens()), { what: `${plan.file} to listen` })
  return !ended()
}

function daemon(plan: DaemonPlan, child: ChildProcess, port: number): Daemon {
  const pid = child.pid ?? 0
  const marker = plan.marker === undefined ? {} : { marker: plan.marker }
  return {
    port,
    pid,
    log: () => readFile(plan.logPath, 'utf8'),
    close: () => endProcesses({ roots: child.exitCode === null && child.signalCode === null ? [pid] : [], ...marker }),
  }
}
