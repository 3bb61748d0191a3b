import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** What to start. */
export interface ProcessCall {
  /** Program and arguments. */
  readonly argv: readonly [string, ...string[]]
  /** Default: ours. */
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
  /** Whether to watch the memory; costs a timer. Default: false. */
  readonly watchMemory?: boolean
}

/** How a whole process went, from its start to its end. */
export interface ProcessFacts {
  readonly wallMs: number
  /** The most memory that was resident at one time, in bytes (VmHWM, see proc_pid_status(5)); undefined when not watched, or without /proc. */
  readonly peakRssBytes: number | undefined
}

const WATCH_EVERY_MS = 10

/** Runs a process to its end; its stdout is read and thrown away. Rejects when it cannot start or does not end with 0, with what it said on stderr. */
export async function wholeProcess(call: ProcessCall): Promise<ProcessFacts> {
  const [program, ...args] = call.argv
  const startMs = performance.now()
  const child = spawn(program, args, { env: call.env, cwd: call.cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.resume()
  const memory = call.watchMemory ? watchMemory(child) : undefined
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  try {
    const status = await endOf(child)
    if (status !== 0) throw new Error(`${call.argv.join(' ')} ended with ${status}: ${stderr.trim()}`)
    return { wallMs: performance.now() - startMs, peakRssBytes: memory?.peakBytes() }
  } finally {
    memory?.stop()
  }
}

function endOf(child: ChildProcess): Promise<number | string> {
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      resolve(code ?? signal ?? 'nothing')
    })
  })
}

function watchMemory(child: ChildProcess): { peakBytes: () => number | undefined; stop: () => void } {
  let peakBytes: number | undefined
  const look = (): void => {
    peakBytes = highWaterBytes(child.pid) ?? peakBytes
  }
  const timer = setInterval(look, WATCH_EVERY_MS)
  return {
    peakBytes: () => peakBytes,
    stop: () => {
      clearInterval(timer)
    },
  }
}

/** The kernel keeps the highest value, so looking late loses nothing while the process is there. */
function highWaterBytes(pid: number | undefined): number | undefined {
  try {
    const kilobytes = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024
  } catch {
    return undefined
  }
}
