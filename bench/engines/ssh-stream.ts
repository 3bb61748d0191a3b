import { spawn, type ChildProcess } from 'node:child_process'
import { finished, type Readable } from 'node:stream'
import type { ConnectionInfo } from '../../src/transport/contract.ts'
import type { Place } from '../rows/place.ts'

/** Which stream of a command on the host the bytes pass. */
export type Flow = 'stdout' | 'stdin'

/** What is moved, and which way. */
export interface Load {
  readonly flow: Flow
  readonly sizeBytes: number
}

/** What the host says on its stderr when the command begins, and when all of its stdin has come. */
export const [STARTED, TAKEN] = [/^started$/m, /^taken$/m]
/** What dd says at the end of what it read. */
const COPIED = /^(\d+) bytes\b.* copied/m

/** What runs on the host. */
export function hostCommand({ flow, sizeBytes }: Load): string {
  return `echo started >&2; ${flow === 'stdout' ? `exec head -c ${sizeBytes} /dev/zero` : 'cat > /dev/null && echo taken >&2'}`
}

/**
 * The rate of a whole `ssh` process, in MB/s, with the ciphers of a connection that was made. It stands between programs that
 * cost as little as any: `head` feeds it, or `dd` reads it, where an engine has our process. So both ways have as many processes
 * and pipes, and an engine is compared with `ssh` itself, not with Node as a reader of pipes. Its handshake and its end, which
 * an open connection does not have, are not in the time.
 */
export async function sshRate({ ssh: [ssh, ...rest] }: Place, { cipher, mac }: ConnectionInfo, load: Load): Promise<number> {
  const ciphers = ['-c', cipher, ...(mac === '' ? [] : ['-m', mac])]
  const shell = load.flow === 'stdout' ? '"$@" | dd of=/dev/null bs=128k' : `head -c ${load.sizeBytes} /dev/zero | "$@"`
  const child = spawn('sh', ['-c', shell, 'sh', ssh, ...ciphers, ...rest, hostCommand(load)], { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, LC_ALL: 'C' } })
  const last = load.flow === 'stdout' ? COPIED : TAKEN
  const [start, end] = await Promise.all([momentOf(STARTED, child.stderr), momentOf(last, child.stderr), endedWell(child)])
  if (load.flow === 'stdout' && end.words[1] !== String(load.sizeBytes)) throw new Error(`${end.words[0]} of ${load.sizeBytes} came from ssh`)
  return rateOf(load, end.atMs - start.atMs)
}

/** When something was said. */
export interface Moment {
  /** As `performance.now()` has it. */
  readonly atMs: number
  /** What was said, and its parts. */
  readonly words: RegExpExecArray
}

/** Resolves when the mark has been said. Rejects when the stream ends without it. */
export function momentOf(mark: RegExp, stderr: Readable): Promise<Moment> {
  let said = ''
  return new Promise((resolve, reject) => {
    stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      const words = mark.exec(said)
      if (words) resolve({ atMs: performance.now(), words })
    })
    finished(stderr, () => reject(new Error(`it was not said that ${mark.source}, but ${JSON.stringify(said)}`)))
  })
}

function endedWell(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status) => (status === 0 ? resolve() : reject(new Error(`ssh ended with ${status}`))))
  })
}

/** MB/s. */
export function rateOf({ sizeBytes }: Load, tookMs: number): number {
  return sizeBytes / 1000 / tookMs
}
