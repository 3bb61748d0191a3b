import { execFile } from 'node:child_process'
import { mkdtemp, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { KeyPair } from '../../testkit/keys.ts'

/** What is signed, and by whom. */
export interface Signature {
  readonly authority: KeyPair
  /** One line, as a `.pub` file has it. */
  readonly publicKey: string
  /** Further options of ssh-keygen: `-h`, `-V 20200101:20200102` (UTC), … */
  readonly options?: readonly string[]
  /** Where the certificate is put. Default: somewhere under `directory`. */
  readonly path?: string
}

/** The path of a real certificate, by ssh-keygen, with the id `the id of it`. */
export async function signKey(directory: string, { authority, publicKey, options = [], path }: Signature): Promise<string> {
  const place = await mkdtemp(join(directory, 'signed-'))
  await writeFile(join(place, 'ca'), authority.privateKey, { mode: 0o600 })
  await writeFile(join(place, 'key.pub'), `${publicKey}\n`)
  await promisify(execFile)('ssh-keygen', ['-q', '-s', join(place, 'ca'), '-I', 'the id of it', ...options, join(place, 'key.pub')], { env: { ...process.env, TZ: 'UTC' } })
  const certificate = join(place, 'key-cert.pub')
  if (path !== undefined) await rename(certificate, path)
  return path ?? certificate
}
