import { spawn } from 'node:child_process'
import { Socket } from 'node:net'
import type { Writable } from 'node:stream'

/**
 * Notes who is to be ended: `+` and `-` before a process id. At the end of its input, which is our end however that came about, it
 * ends who is left. Nothing that a terminal sends reaches it first.
 */
const PROGRAM = `trap '' HUP INT TERM
pids=' '
while read -r change pid; do
  case $change in
    +) pids="$pids$pid " ;;
    -) pids="\${pids%% $pid *} \${pids#* $pid }" ;;
  esac
done
[ "$pids" = ' ' ] || kill $pids 2>/dev/null`

/**
 * Ends masters when we end without having ended them: by SIGKILL. ssh by itself stays as long as a command runs that it was to carry,
 * with nobody to carry it for. One small process does it for all of them, from the first on.
 */
export class Reaper {
  #input: Writable | undefined
  readonly #watched = new Set<number>()

  /** This process is to end with us. */
  watch(pid: number): void {
    this.#watched.add(pid)
    this.#input ??= started()
    this.#input.write(`+ ${pid}\n`)
  }

  /** It has ended, or was ended. Safe to repeat. */
  forget(pid: number): void {
    if (this.#watched.delete(pid)) this.#input?.write(`- ${pid}\n`)
  }
}

/** It waits for our end, and does not put it off. */
function started(): Writable {
  const child = spawn('/bin/sh', ['-c', PROGRAM], { cwd: '/', env: {}, stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  child.unref()
  child.on('error', () => undefined)
  child.stdin.on('error', () => undefined)
  if (child.stdin instanceof Socket) child.stdin.unref()
  return child.stdin
}
