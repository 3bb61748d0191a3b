import { createHash, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Host } from '../fleet/host.ts'
import type { ConnectionInfo } from '../transport/contract.ts'
import { bad, good, notExited, OUTPUT_HINT, shown, unlike, type Finding } from './selftest-finding.ts'
import type { SelftestPlace } from './selftest-place.ts'

/** What of a host the checks use. */
export type SelftestHost = Pick<Host, 'run' | 'script' | 'put' | 'get'>

/** What the checks of one host work with. */
export interface SelftestScene {
  readonly vmId: string
  readonly host: SelftestHost
  readonly connect: () => Promise<ConnectionInfo>
  /** A private directory here, of this host alone. */
  readonly directory: string
  /** A directory on the host, once it is made. */
  readonly place: SelftestPlace
  readonly signal: AbortSignal
}

/** A check of one host. Rejects with `RemexError` where it could not be done. */
export interface HostCheck {
  readonly name: 'connect' | 'command' | 'script' | 'upload' | 'download' | 'deadline'
  /** The check that must have gone well before. */
  readonly needs: HostCheck['name'] | undefined
  readonly perform: (scene: SelftestScene) => Promise<Finding>
}

/** All checks of a host, in their order. */
export const HOST_CHECKS: readonly HostCheck[] = [
  { name: 'connect', needs: undefined, perform: checkConnect },
  { name: 'command', needs: 'connect', perform: checkCommand },
  { name: 'script', needs: 'connect', perform: checkScript },
  { name: 'upload', needs: 'connect', perform: checkUpload },
  { name: 'download', needs: 'upload', perform: checkDownload },
  { name: 'deadline', needs: 'connect', perform: checkDeadline },
]

/** Limits of our own: the configuration may have none. */
const TIMEOUT = '30s'
const TRANSFER_TIMEOUT = '2m'

/** What quoting could change on its way. */
const WORDS = ['plain', 'two words', "it's", '"quoted"', String.raw`$HOME \`id\` \\`, '*', '', '-n', 'zwölf ☂ \u{1f41f}']
const ECHO = `printf '%s\\n' "$@"; echo 'on stderr' >&2; exit 7`

async function checkConnect({ connect }: SelftestScene): Promise<Finding> {
  const { engine, kex, hostKey } = await connect()
  return good(`${engine}, ${kex}, ${hostKey.type} ${hostKey.fingerprint}`)
}

async function checkCommand({ host, signal }: SelftestScene): Promise<Finding> {
  const result = await host.run(['sh', '-c', ECHO, 'sh', ...WORDS], { timeout: TIMEOUT, signal })
  return unlike(result, { stdout: lines(WORDS), stderr: 'on stderr\n', exitCode: 7 }) ?? good(`exit status, both streams and ${WORDS.length} words are as they were sent`)
}

const SCRIPT = `#!/bin/sh
printf '%s\\n' "$0" "$@"
exit 3
`
const SCRIPT_WORDS = ['two words', "it's ü"]

async function checkScript({ host, directory, signal }: SelftestScene): Promise<Finding> {
  const local = join(directory, 'self test.sh')
  await writeFile(local, SCRIPT, { mode: 0o700 })
  const result = await host.script(local, { args: SCRIPT_WORDS, timeout: TIMEOUT, signal })
  const [path = ''] = result.stdout.split('\n')
  const wrong = unlike(result, { stdout: lines([path, ...SCRIPT_WORDS]), stderr: '', exitCode: 3 })
  if (wrong) return wrong
  const left = await host.run(['sh', '-c', 'test -e "$1" || test -e "$2"', 'sh', path, dirname(path)], { timeout: TIMEOUT, signal })
  if (left.exitCode === 0) return bad(`it ran, and is still on the host: ${path}`, 'Remove it there, and find out what kept it: the login may not remove its own files in that directory.')
  return unlike(left, { stdout: '', stderr: '', exitCode: 1 }) ?? good('it was sent, ran, and is gone')
}

/** Longer than any buffer on the way, and no multiple of one. */
const CONTENT_BYTES = (1 << 18) + 7

async function checkUpload({ host, place, directory, signal }: SelftestScene): Promise<Finding> {
  const content = randomBytes(CONTENT_BYTES)
  const sha256 = createHash('sha256').update(content).digest('hex')
  await writeFile(join(directory, 'sent'), content, { mode: 0o600 })
  const made = await place.make(signal)
  if (!made.ok) return made
  const receipt = await host.put(join(directory, 'sent'), remoteFile(place.path), { mode: 0o600, timeout: TRANSFER_TIMEOUT, signal })
  const same = receipt.verified && receipt.sizeBytes === CONTENT_BYTES && receipt.sha256 === sha256
  return same ? good(`${CONTENT_BYTES} random bytes arrived, compared by SHA-256`) : bad('the receipt is not that of what was sent', DAMAGED_HINT)
}

async function checkDownload({ host, place, directory, signal }: SelftestScene): Promise<Finding> {
  const back = join(directory, 'fetched')
  const receipt = await host.get(remoteFile(place.path), back, { mode: 0o600, timeout: TRANSFER_TIMEOUT, signal })
  const [sent, fetched] = await Promise.all([readFile(join(directory, 'sent')), readFile(back)])
  if (!receipt.verified || !sent.equals(fetched)) return bad('the bytes that came back are not those that were sent', DAMAGED_HINT)
  const removed = await place.remove()
  return removed.ok ? good('the same bytes came back, and nothing of them is left on the host') : removed
}

const DAMAGED_HINT = 'Something on the way changes files; do not rely on transfers with this host.'

function remoteFile(place: string): string {
  return `${place}/it's random.bin`
}

const DEADLINE_S = 2
/** The time that processes have to end themselves before they are killed, and ample time to ask for it all. */
const MOST_S = DEADLINE_S + 2 + 10
/** A child that ignores TERM, and says who it is. */
const STUBBORN = `sh -c 'trap "" TERM; echo $$; sleep 300 & wait; sleep 300' & sleep 300`
/** One that was killed and that nobody has asked after yet is gone too. */
const IS_GONE = `kill -0 "$1" 2>/dev/null || exit 0; grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null`

async function checkDeadline({ host, signal }: SelftestScene): Promise<Finding> {
  const result = await host.run(['sh', '-c', STUBBORN], { timeout: `${DEADLINE_S}s`, signal })
  const { ended, killed, executionTime, stdout } = result
  if (ended !== 'timed_out' || !killed) return notExited(result) ?? bad(`a command that sleeps came to an end by itself: ${ended}`, OUTPUT_HINT)
  if (killed.scope === 'unknown') return bad('the deadline passed, and the host could not be asked what still runs there', 'Look on the host for a sleep 300.')
  if (killed.survivors.length > 0) return bad(`the deadline passed, and these still run: ${killed.survivors.join(', ')}`, 'Look on the host why these processes cannot be ended.')
  if (executionTime > MOST_S) return bad(`it was ended, but after ${executionTime.toFixed(1)} s`, 'The host answers slowly; look at its load.')
  const pid = stdout.trim()
  if (!/^\d+$/.test(pid)) return bad(`the command printed ${shown(stdout)} in place of a process id`, OUTPUT_HINT)
  const gone = await host.run(['sh', '-c', IS_GONE, 'sh', pid], { timeout: TIMEOUT, signal })
  if (gone.exitCode !== 0) return notExited(gone) ?? bad(`Remex says that nothing is left, but process ${pid} still runs`, 'Please report it, with the kind of system that the host is.')
  const how = killed.scope === 'tree' ? 'all of its processes' : 'its process group, for the host has no /proc'
  return good(`ended after ${executionTime.toFixed(1)} s with ${how}; a child ignored TERM, and is gone`)
}

function lines(words: readonly string[]): string {
  return words.map((word) => `${word}\n`).join('')
}
