import { randomBytes } from 'node:crypto'
import { basename } from 'node:path'
import { RemexError, remexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import { quoteWord, quoteWords } from '../core/quote.ts'
import type { TransferAccess } from './access.ts'
import { upload } from './upload.ts'

/** A script that lies on the host for one run. */
export interface ScriptFile {
  /** Its path on the host. */
  readonly path: string
  /** The private directory made for it. */
  readonly directory: string
  readonly sizeBytes: number
  /** Hexadecimal. */
  readonly sha256: string
}

/** What is sent, and who may read it besides the login: everybody, where another user is to run it. */
export interface ScriptAudience {
  /** Its content. Default: what the file holds. */
  readonly content?: Uint8Array | undefined
  readonly otherUser: boolean
  readonly signal: AbortSignal | undefined
}

/**
 * Sends a local script into a new private directory on the host, verified like any upload.
 * Rejects with `LOCAL_NOT_FOUND`, and as {@link upload} does. Nothing is left on the host when it fails.
 */
export async function sendScript(access: TransferAccess, localPath: string, { content, otherUser, signal }: ScriptAudience): Promise<ScriptFile> {
  const directory = await makeDirectory(access, { otherUser, signal })
  try {
    const path = `${directory}/${basename(localPath)}`
    const receipt = await upload(access, { ...(content ? { data: content } : { localPath }), remotePath: path, mode: otherUser ? 0o755 : 0o700, signal })
    return { path, directory, sizeBytes: receipt.sizeBytes, sha256: receipt.sha256 }
  } catch (error) {
    await removeScript(access, directory)
    throw error
  }
}

/** Removes what {@link sendScript} made. Never rejects: a host that is gone keeps it. */
export async function removeScript(access: TransferAccess, directory: string): Promise<void> {
  await bestEffort(access, ['rm', '-rf', '--', directory])
}

/** A name of our own, so that it can be removed even when the connection broke before the host could answer. */
async function makeDirectory(access: TransferAccess, { otherUser, signal }: Pick<ScriptAudience, 'otherUser' | 'signal'>): Promise<string> {
  const named = `d="\${TMPDIR:-/tmp}"/remex-${randomBytes(10).toString('hex')}`
  // mkdir makes a new directory or none: no link or directory that lies ready in /tmp can be meant.
  const making = access.run(`${named} && mkdir -m ${otherUser ? '711' : '700'} "$d" && printf %s "$d"`, { signal })
  const made = await making.catch(async (error: unknown) => {
    if (error instanceof RemexError && error.code === 'CONNECTION_LOST') await bestEffort(access, `${named}; rm -rf -- "$d"`)
    throw error
  })
  const directory = made.stdout.toString('utf8')
  if (made.exitCode === 0 && /^\/[^\n\0]+$/.test(directory)) return directory
  const said = printable(made.stderr.toString('utf8').trim()).slice(0, 200)
  throw remexError('TRANSFER_FAILED', `no temporary directory could be made on ${access.vmId}${said === '' ? '' : `: ${said}`}`, {
    hint: 'The script needs a writable /tmp, or TMPDIR set for the login, on the host.',
    vmId: access.vmId,
  })
}

async function bestEffort(access: TransferAccess, command: string | readonly string[]): Promise<void> {
  await access.run(command, { signal: AbortSignal.timeout(5000) }).catch(() => undefined)
}

/** How a script is to be started. */
export interface ScriptCall {
  readonly path: string
  readonly args: readonly string[]
  /** Shell words; undefined: the script is executed itself. */
  readonly interpreter: string | undefined
  /** Removed by the shell that ran the script, so also when the connection is gone by then. */
  readonly removeAfter: string | undefined
}

/** Shell text that runs a script and keeps its exit status. */
export function scriptText({ path, args, interpreter, removeAfter }: ScriptCall): string {
  // A bare name would be looked up in PATH.
  const located = path.includes('/') ? path : `./${path}`
  const call = [...(interpreter === undefined ? [] : [interpreter]), quoteWords([located, ...args])].join(' ')
  if (removeAfter === undefined) return call
  return `trap ${quoteWord(`rm -rf -- ${quoteWord(removeAfter)}`)} EXIT; ${call}`
}
