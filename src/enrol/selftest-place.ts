import { randomBytes } from 'node:crypto'
import type { Host } from '../fleet/host.ts'
import { bad, firstLine, good, notExited, shown, type Finding } from './selftest-finding.ts'

/** In the home, else where temporary files go; anew, under a name that nobody can foresee. */
const MAKE = `umask 077; mktemp -d "\${HOME:-/tmp}/.remex-selftest-$1-XXXXXX" 2>/dev/null || mktemp -d "\${TMPDIR:-/tmp}/remex-selftest-$1-XXXXXX"`
const REMOVE = `rm -rf -- "\${HOME:-/tmp}/.remex-selftest-$1-"?????? "\${TMPDIR:-/tmp}/remex-selftest-$1-"??????`

/** A private directory on a host. It is the login's own, for transfers know no sudo. */
export class SelftestPlace {
  readonly #host: Pick<Host, 'run'>
  /** In its name, so that it can be removed even where its making was interrupted. Of one host alone: two may be one machine. */
  readonly #token = randomBytes(8).toString('hex')
  #path = ''
  #mayBeThere = false

  constructor(host: Pick<Host, 'run'>) {
    this.#host = host
  }

  /** Its path; empty until it is made. */
  get path(): string {
    return this.#path
  }

  /** Whether something may have to be removed. */
  get mayBeThere(): boolean {
    return this.#mayBeThere
  }

  async make(signal: AbortSignal): Promise<Finding> {
    this.#mayBeThere = true
    const made = await this.#host.run(['sh', '-c', MAKE, 'sh', this.#token], { timeout: '30s', sudo: false, signal })
    const path = made.stdout.replace(/\n$/, '')
    if (made.exitCode !== 0 || !path.startsWith('/') || !path.includes(this.#token) || path.includes('\n')) {
      const reason = firstLine(made.stderr) || `mktemp answered ${shown(made.stdout)}`
      return notExited(made) ?? bad(`no directory could be made on the host: ${reason}`, 'The login must be able to make a directory in its home or in /tmp, by mktemp.')
    }
    this.#path = path
    return good(path)
  }

  /** Removes it. No interruption stops this. */
  async remove(): Promise<Finding> {
    const removed = await this.#host.run(['sh', '-c', REMOVE, 'sh', this.#token], { timeout: '10s', sudo: false })
    if (removed.exitCode !== 0) {
      return bad(`a directory could not be removed from the host: ${firstLine(removed.stderr) || removed.ended}`, `Remove it there: .remex-selftest-${this.#token}-… in the home, or in /tmp without the dot.`)
    }
    this.#mayBeThere = false
    return good('removed')
  }
}
