import { spawn } from 'node:child_process'
import { execPath, exit } from 'node:process'
import { root, say } from './checkout.mjs'

const STATUS_OF = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 }

/**
 * Runs `work` as the whole of this process. Its argument is a signal that aborts on a Ctrl-C, so that `work` can clean up
 * before the process ends. A failure is told on stderr and gives status 125: Remex could not do it.
 */
export async function asProgram(work) {
  const stop = new AbortController()
  for (const [name, status] of Object.entries(STATUS_OF)) process.on(name, () => stop.abort(status))
  try {
    await work(stop.signal)
  } catch (error) {
    if (!stop.signal.aborted) {
      // A Ctrl-C is for all that run; that a program of ours was ended by it may be known here before our own.
      const status = STATUS_OF[error.endedBy]
      if (status === undefined) say(error.message)
      exit(status ?? 125)
    }
  }
  if (stop.signal.aborted) exit(stop.signal.reason)
}

/** Runs Node in the checkout, with our stdout and stderr, and ends it when `signal` aborts. Resolves with its status; null after a signal. */
export function runNode(args, signal) {
  const child = spawn(execPath, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  signal.addEventListener('abort', () => child.kill('SIGTERM'), { once: true })
  return new Promise((resolve, reject) => {
    child.on('close', resolve)
    child.on('error', reject)
  })
}
