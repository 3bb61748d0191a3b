import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { OwnProgram } from '../lib/own-program.ts'
import type { Acknowledged } from './acknowledged.ts'

/** A process that writes into a log until it is killed. */
export interface Writer {
  /** Settles when it has said so many lines more. Rejects when it ends before that. */
  lines(count: number): Promise<void>
  /** Kills it, and settles when all it said was taken. Rejects when it had ended by itself. */
  kill(): Promise<void>
}

/** Starts one; what it says goes to `acknowledged`. */
export function startWriter({ argv: [node, path] }: OwnProgram, args: readonly string[], acknowledged: Acknowledged): Writer {
  const child = spawn(node, [path, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
  const closed = once(child, 'close')
  const waiters = new Set<{ left: number; readonly resolve: () => void }>()
  const complaints: string[] = []
  createInterface({ input: child.stderr }).on('line', (line) => complaints.push(line))
  const take = (line: string): void => {
    acknowledged.take(line)
    for (const waiter of waiters) {
      if (--waiter.left > 0) continue
      waiters.delete(waiter)
      waiter.resolve()
    }
  }
  takeWholeLines(child, take)
  const early = closed.then(() => Promise.reject(new Error(`a writer ended early: ${complaints.join(' ')}`)))
  early.catch(() => undefined)
  return {
    lines: (count) => Promise.race([new Promise<void>((resolve) => waiters.add({ left: count, resolve })), early]),
    async kill() {
      child.kill('SIGKILL')
      await closed
      if (child.signalCode !== 'SIGKILL') throw new Error(`a writer ended with ${child.exitCode ?? child.signalCode ?? '?'}: ${complaints.join(' ')}`)
    },
  }
}

/** Without what a killed process left of a line. */
function takeWholeLines({ stdout }: ChildProcess, take: (line: string) => void): void {
  let begun = ''
  stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (begun + text).split('\n')
    begun = lines.pop() ?? ''
    for (const line of lines) take(line)
  })
}
