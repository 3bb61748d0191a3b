import { spawn, type ChildProcess } from 'node:child_process'
import type { Readable } from 'node:stream'
import { childrenCpuMs, timedByShell } from './cpu-time.ts'
import { watchProcess, watchTree, type MemoryWatch } from './peak-memory.ts'

/** What to start. */
export interface ProcessCall {
  /** Program and arguments. */
  readonly argv: readonly [string, ...string[]]
  /** Default: ours. */
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
  /** Whether to watch the memory, of the process or of all that it starts too; costs a timer. Default: false. */
  readonly watchMemory?: boolean | 'with children'
  /** Whether to ask for the processor time, by a shell around it; not together with `watchMemory`. Default: false. */
  readonly measureCpu?: boolean
  /** Whether to keep what it writes to stdout. Default: false. */
  readonly keepStdout?: boolean
}

/** How a whole process went, from its start to its end. */
export interface ProcessFacts {
  readonly wallMs: number
  /** The most memory that was resident at one time, in bytes; undefined when not watched, or without /proc. */
  readonly peakRssBytes: number | undefined
  /** User and system time of it and of what it started and waited for, in ms; undefined when not asked for. */
  readonly cpuMs: number | undefined
  /** Empty when not kept. */
  readonly stdout: string
}

/** Runs a process to its end. Rejects when it cannot start or does not end with 0, with what it said on stderr. */
export async function wholeProcess(call: ProcessCall): Promise<ProcessFacts> {
  const [program, ...args] = call.measureCpu ? timedByShell(call.argv) : call.argv
  const startMs = performance.now()
  const child = spawn(program, args, { env: call.env, cwd: call.cwd, stdio: ['ignore', 'pipe', 'pipe', call.measureCpu ? 'pipe' : 'ignore'] })
  const stdout = textFrom(child.stdout, call.keepStdout)
  const stderr = textFrom(child.stderr)
  // The type knows of streams that can be written to only.
  const times = textFrom(child.stdio[3] as Readable | null)
  const memory = memoryWatch(call, child)
  try {
    const status = await endOf(child)
    if (status !== 0) throw new Error(`${call.argv.join(' ')} ended with ${status}: ${stderr().trim()}`)
    const wallMs = performance.now() - startMs
    return { wallMs, peakRssBytes: memory?.peakBytes(), cpuMs: call.measureCpu ? childrenCpuMs(times()) : undefined, stdout: stdout() }
  } finally {
    memory?.stop()
  }
}

/** Reads the stream to its end, and keeps what it gives, or throws it away. */
function textFrom(stream: Readable | null | undefined, isKept = true): () => string {
  const chunks: Buffer[] = []
  if (isKept) stream?.on('data', (chunk: Buffer) => chunks.push(chunk))
  else stream?.resume()
  return () => Buffer.concat(chunks).toString()
}

function memoryWatch({ watchMemory }: ProcessCall, { pid }: ChildProcess): MemoryWatch | undefined {
  if (watchMemory === 'with children') return watchTree(pid)
  return watchMemory ? watchProcess(pid) : undefined
}

function endOf(child: ChildProcess): Promise<number | string> {
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      resolve(code ?? signal ?? 'nothing')
    })
  })
}
