import type { SshProgram } from './program.ts'

/** Asks this machine's `ssh`, that of the `PATH` in `env`, what it can do: once for all who want to know, at the first of them. */
export function askSshOnce(env: Pick<NodeJS.ProcessEnv, string>): () => Promise<SshProgram> {
  let asked: Promise<SshProgram> | undefined
  return () => {
    asked ??= import('./program.ts').then(({ askProgram }) => askProgram(env))
    // Whoever installs it while we run is to be heard.
    asked.catch(() => { asked = undefined })
    return asked
  }
}
