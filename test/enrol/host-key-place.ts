import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { TestContext } from 'vitest'
import { fingerprint, formatHostKey, parseHostKey, type HostKey } from '../../src/core/host-key.ts'
import { startOpensshServer, type KeyKind, type OpensshServer } from '../../testkit/index.ts'

const run = promisify(execFile)

/** A key of ssh-keygen, as a file. */
export interface KeyFile {
  readonly path: string
  readonly key: HostKey
  /** Type and base64, as known_hosts and `.pub` files have it. */
  readonly line: string
  readonly fingerprint: string
}

/** What a certificate says besides the key. */
export interface Certificate {
  readonly principal?: string
  /** As `ssh-keygen -V` takes it. Default: yesterday until tomorrow. */
  readonly validity?: string
  readonly keyId?: string
}

/** A directory with host keys, certificates, and servers that show them; all is gone in the end. */
export class HostKeyPlace implements AsyncDisposable {
  readonly directory: string
  readonly #servers: OpensshServer[] = []

  private constructor(directory: string) {
    this.directory = directory
  }

  static async make(): Promise<HostKeyPlace> {
    return new HostKeyPlace(await mkdtemp(join(tmpdir(), 'remex-host-keys-')))
  }

  async key(name: string, kind: KeyKind = 'ed25519'): Promise<KeyFile> {
    const path = join(this.directory, name)
    await run('ssh-keygen', ['-q', '-t', kind, '-N', '', '-C', name, '-f', path])
    const key = parseHostKey(await readFile(`${path}.pub`, 'utf8'))
    if (!key) throw new Error(`ssh-keygen made no key ${name}`)
    return { path, key, line: formatHostKey(key), fingerprint: fingerprint(key.blob) }
  }

  /** A host certificate of `key` by `authority`, as a file. */
  async sign(authority: KeyFile, key: KeyFile, { principal = '127.0.0.1', validity = '-1d:+1d', keyId = 'host' }: Certificate = {}): Promise<string> {
    await run('ssh-keygen', ['-q', '-s', authority.path, '-I', keyId, '-h', '-n', principal, '-V', validity, `${key.path}.pub`])
    const path = join(this.directory, `${Math.random().toString(36).slice(2)}-cert.pub`)
    await rename(`${key.path}-cert.pub`, path)
    return path
  }

  /** An sshd with these host keys, and the certificates of some; skips the test where there is no sshd. */
  async server(context: TestContext, keys: readonly KeyFile[], certificates: readonly string[] = []): Promise<OpensshServer> {
    const config = [...keys.map(({ path }) => `HostKey ${path}`), ...certificates.map((path) => `HostCertificate ${path}`)]
    const server = await startOpensshServer({ hostKeyKinds: [], config })
    if ('skipped' in server) return context.skip(server.skipped)
    this.#servers.push(server)
    return server
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) await server.close()
    await rm(this.directory, { recursive: true, force: true })
  }
}

/** The name of a server in known_hosts. */
export const nameOf = ({ address, port }: { readonly address: string; readonly port: number }): string => `[${address}]:${port}`
