import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { quoteWord } from '../../src/core/quote.ts'

/** A shell script that passes for `ssh`. */
export interface FakeSsh extends AsyncDisposable {
  /** The directory that it is in, for the PATH. */
  readonly path: string
}

/** What a {@link FakeSsh} says and does. */
export interface FakeSshOptions {
  /** What it calls itself, on standard error. Default: `OpenSSH_9.9p1, none`. */
  readonly version?: string
  /** What it says that it knows, by category. Default: of each category what the real one calls best. */
  readonly known?: Readonly<Partial<Record<'kex' | 'cipher' | 'mac' | 'key', readonly string[]>>>
  /** What it does in place of connecting, in its directory. Default: nothing, in vain. */
  readonly connecting?: string
}

const KNOWN = {
  kex: ['curve25519-sha256', 'sntrup761x25519-sha512@openssh.com'],
  cipher: ['aes256-gcm@openssh.com', 'chacha20-poly1305@openssh.com'],
  mac: ['hmac-sha2-256-etm@openssh.com'],
  key: ['ssh-ed25519', 'ssh-rsa', 'ssh-ed25519-cert-v01@openssh.com'],
}

/** Makes one, in a directory of its own. */
export async function fakeSsh({ version = 'OpenSSH_9.9p1, none', known = {}, connecting = 'exit 255' }: FakeSshOptions = {}): Promise<FakeSsh> {
  const answers = Object.entries({ ...KNOWN, ...known }).map(([category, names]) => `-Q*${category}) ${said(names)};;`)
  return fakeProgram(['case "$*" in', `-V) ${said([version])} >&2;;`, ...answers, '*)', connecting, ';; esac', ''].join('\n'))
}

/** A program `ssh` that is this shell script. */
export async function fakeProgram(script: string): Promise<FakeSsh> {
  const path = await mkdtemp(join(tmpdir(), 'fake-ssh-'))
  await writeFile(join(path, 'ssh'), `#!/bin/sh\n${script}`, { mode: 0o755 })
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}

/** A shell command that prints these lines. */
function said(lines: readonly string[]): string {
  return lines.length === 0 ? ':' : `printf '%s\\n' ${lines.map(quoteWord).join(' ')}`
}

/** Lines that `ssh -v` prints of a login that succeeds, where the host shows this key. */
export function loginLines({ type, fingerprint }: { readonly type: string; readonly fingerprint: string }): string[] {
  return [
    'debug1: Local version string SSH-2.0-OpenSSH_9.9',
    'debug1: Remote protocol version 2.0, remote software version Puppet_1',
    'debug1: kex: algorithm: curve25519-sha256',
    `debug1: kex: host key algorithm: ${type}`,
    'debug1: kex: server->client cipher: aes256-gcm@openssh.com MAC: <implicit> compression: none',
    'debug1: kex: client->server cipher: aes256-gcm@openssh.com MAC: <implicit> compression: none',
    `debug1: Server host key: ${type} ${fingerprint}`,
    'debug1: SSH2_MSG_NEWKEYS sent',
    'debug1: SSH2_MSG_NEWKEYS received',
    'Authenticated to 127.0.0.1 ([127.0.0.1]:22) using "publickey".',
  ]
}

/** For `connecting`: it logs in, and a master listens at `socketPath`. */
export function logsIn(key: { readonly type: string; readonly fingerprint: string }, socketPath: string): string {
  return `${said(loginLines(key))} >&2; ln -s ${quoteWord(socketPath)} c`
}
