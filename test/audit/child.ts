import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { build } from 'esbuild'

/** A program made of TypeScript text, which real processes can run. */
export interface Program {
  readonly path: string
  /** Starts it. `spoken` gives its lines on standard output one by one; it is killed at `remove`, if it still runs. */
  start(...args: string[]): Child
  /** Ends what still runs and removes the program. */
  remove(): Promise<void>
}

/** A running {@link Program}. */
export interface Child {
  readonly process: ChildProcess
  /** Its next line on standard output; undefined when it has ended. */
  line(): Promise<string | undefined>
  /** All lines that are still to come. Settles when standard output is closed. */
  rest(): Promise<string[]>
  /** Settles when it has ended, with its exit status, or null when a signal ended it. */
  readonly ended: Promise<number | null>
}

/** Bundles `source`, whose imports are relative to `src/`, into a file of its own. */
export async function program(source: string): Promise<Program> {
  const directory = await mkdtemp(join(tmpdir(), 'remex-program-'))
  const path = join(directory, 'program.mjs')
  const resolveDir = join(import.meta.dirname, '../../src')
  await build({ stdin: { contents: source, resolveDir, loader: 'ts' }, bundle: true, platform: 'node', format: 'esm', target: 'node20', outfile: path })
  const children: Child[] = []
  return {
    path,
    start(...args) {
      const child = start(path, args)
      children.push(child)
      return child
    },
    async remove() {
      for (const child of children) child.process.kill('SIGKILL')
      await Promise.all(children.map((child) => child.ended))
      await rm(directory, { recursive: true })
    },
  }
}

function start(path: string, args: readonly string[]): Child {
  const process = spawn(globalThis.process.execPath, [path, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: process.stdout })[Symbol.asyncIterator]()
  const ended = new Promise<number | null>((resolve) => process.on('close', resolve))
  const line = async (): Promise<string | undefined> => {
    const { value, done } = await lines.next()
    return done ? undefined : value
  }
  return {
    process,
    line,
    ended,
    async rest() {
      const all: string[] = []
      for (let next = await line(); next !== undefined; next = await line()) all.push(next)
      return all
    },
  }
}
