import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { fingerprint, formatHostKey, parseHostKey, type HostKey } from '../../src/core/host-key.ts'

const run = promisify(execFile)

/** A key pair of ssh-keygen, as files. */
export interface KeyFile {
  /** Of the private half; the public one is beside it, `.pub`. */
  readonly path: string
  readonly key: HostKey
  /** Type and base64, as known_hosts and authorized_keys files have it. */
  readonly line: string
  readonly fingerprint: string
}

/** What a certificate says besides the key. */
export interface Statement {
  readonly kind: 'user' | 'host'
  /** The login, or the name of the host. */
  readonly principal: string
  /** As `ssh-keygen -V` takes it. Default: yesterday until tomorrow. */
  readonly validity?: string
  /** Default: 1. */
  readonly serial?: number
  /** Default: `the id of it`. */
  readonly keyId?: string
}

/** A directory with keys, certificates and lists of what is revoked, all by ssh-keygen; gone in the end. */
export class CertificatePlace implements AsyncDisposable {
  readonly directory: string
  #count = 0

  private constructor(directory: string) {
    this.directory = directory
  }

  static async make(): Promise<CertificatePlace> {
    return new CertificatePlace(await mkdtemp(join(tmpdir(), 'remex-certificates-')))
  }

  async key(name: string): Promise<KeyFile> {
    const path = join(this.directory, name)
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', path])
    const key = parseHostKey(await readFile(`${path}.pub`, 'utf8'))
    if (!key) throw new Error(`ssh-keygen made no key ${name}`)
    return { path, key, line: formatHostKey(key), fingerprint: fingerprint(key.blob) }
  }

  /** The path of a certificate of `key` by `authority`; the same key can have any number of them. */
  async sign(authority: KeyFile, key: KeyFile, { kind, principal, validity = '-1d:+1d', serial = 1, keyId = 'the id of it' }: Statement): Promise<string> {
    const place = await mkdtemp(join(this.directory, 'signed-'))
    const copy = join(place, 'key.pub')
    await writeFile(copy, `${key.line}\n`)
    const words = ['-q', '-s', authority.path, '-I', keyId, ...(kind === 'host' ? ['-h'] : []), '-n', principal, '-V', validity, '-z', String(serial), copy]
    await run('ssh-keygen', words, { env: { ...process.env, TZ: 'UTC' } })
    const path = join(this.directory, `${kind}-${++this.#count}-cert.pub`)
    await rename(join(place, 'key-cert.pub'), path)
    return path
  }

  /** The path of a revocation list (KRL): of the keys that are listed, and of the serial numbers of the authority's certificates. */
  async revoke({ keys = [], authority, serials = [] }: { readonly keys?: readonly KeyFile[]; readonly authority?: KeyFile; readonly serials?: readonly number[] }): Promise<string> {
    const path = join(this.directory, `krl-${++this.#count}`)
    const specification = [...serials.map((serial) => `serial: ${serial}`), ...keys.map(({ line }) => `key: ${line}`), '']
    await writeFile(`${path}.txt`, specification.join('\n'))
    await run('ssh-keygen', ['-q', '-k', '-f', path, ...(authority ? ['-s', `${authority.path}.pub`] : []), `${path}.txt`])
    return path
  }

  /** The path of a new file with this text. */
  async write(name: string, text: string): Promise<string> {
    const path = join(this.directory, `${name}-${++this.#count}`)
    await writeFile(path, text)
    return path
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true })
  }
}
