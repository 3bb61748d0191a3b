import { RemexError, remexError, withDetails } from '../../core/errors.ts'
import type { Channel } from '../../transport/contract.ts'
import { PacketType } from './codec.ts'
import type { FieldReader } from './codec.ts'
import { decodeLimits, decodeOffered, DEFAULT_LIMITS, EXTENSIONS, isOffered } from './extensions.ts'
import type { Offered, SftpLimits } from './extensions.ts'
import { SftpWire } from './wire.ts'
import type { WireOptions } from './wire.ts'

/** What the beginning of an SFTP connection needs to know. */
export interface SftpOptions extends WireOptions {
  /** Bounds the greeting. Default: 30 000. */
  readonly timeoutMs?: number
  /** Aborts the greeting, and every operation of the client that comes of it. */
  readonly signal?: AbortSignal
}

/** A server that has been greeted. */
export interface SftpServer {
  readonly wire: SftpWire
  readonly offered: Offered
  /** The server's own as soon as it has told them; before that, what every server takes. */
  limits: SftpLimits
  /** How long the answer took that told them, which costs the server nothing, in ms; 0 before that. */
  roundTripMs: number
}

const VERSION = 3
const DEFAULT_TIMEOUT_MS = 30_000
const NO_SERVER_HINT = 'The host may have no SFTP server (the Subsystem line of sshd_config), or a shell start-up file that prints text.'

/**
 * Greets the server on `channel`, and asks for its limits where it tells them without waiting for that: over a long way the
 * first question of the caller is on its way meanwhile, and answered after it. Closes the channel on failure.
 * Rejects with `TRANSFER_FAILED` (no SFTP server there), `CONNECTION_LOST`, `CONNECT_TIMEOUT`, or the signal's reason.
 */
export async function greet(channel: Channel, options: SftpOptions): Promise<SftpServer> {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(silentServer(options.vmId, timeoutMs)), timeoutMs)
  const signal = options.signal === undefined ? late.signal : AbortSignal.any([options.signal, late.signal])
  const wire = new SftpWire(channel, options)
  try {
    return await introduce(wire, signal)
  } catch (error) {
    wire.fail(remexError('TRANSFER_FAILED', `${options.vmId}: the SFTP greeting failed`, { cause: error }))
    throw await explain(error, { channel, signal, vmId: options.vmId })
  } finally {
    clearTimeout(timer)
  }
}

async function introduce(wire: SftpWire, signal: AbortSignal): Promise<SftpServer> {
  const offered = await wire.greet(VERSION, decodeVersion, signal)
  const server: SftpServer = { wire, offered, limits: DEFAULT_LIMITS, roundTripMs: 0 }
  // A connection that breaks meanwhile is told to whoever asks next.
  if (isOffered(offered, 'limits')) askLimits(server).catch(() => undefined)
  return server
}

function decodeVersion(fields: FieldReader): Offered {
  const version = fields.uint32()
  if (version !== VERSION) throw remexError('TRANSFER_FAILED', `the server speaks SFTP version ${version}, not ${VERSION}`)
  return decodeOffered(fields)
}

/** A server that offers to tell its limits and then does not is served as one that never offered. */
async function askLimits(server: SftpServer): Promise<void> {
  const startMs = performance.now()
  const about = { action: 'ask for the limits of', path: Buffer.from('sftp') }
  const fields = [EXTENSIONS.limits.wireName]
  server.limits = await server.wire.ask({ type: PacketType.EXTENDED, fields, answer: PacketType.EXTENDED_REPLY, parse: decodeLimits, ...about }, undefined)
  server.roundTripMs = performance.now() - startMs
}

function silentServer(vmId: string, timeoutMs: number): RemexError {
  return remexError('CONNECT_TIMEOUT', `${vmId}: the SFTP server said nothing for ${timeoutMs / 1000} s`, {
    vmId,
    hint: 'The login works but its SFTP server hangs; look at the host.',
  })
}

/** An SFTP server that could not start looks like a broken connection until its exit status is there. */
async function explain(error: unknown, at: { channel: Channel; signal: AbortSignal; vmId: string }): Promise<unknown> {
  if (!(error instanceof RemexError) || at.signal.aborted) return error
  if (error.code === 'TRANSFER_FAILED') return withDetails(error, { hint: NO_SERVER_HINT })
  if (error.code !== 'CONNECTION_LOST') return error
  const exit = await Promise.race([at.channel.exit, aborted(at.signal)])
  if (exit === undefined || exit.kind === 'lost') return error
  const how = exit.kind === 'exited' ? `exit status ${exit.exitCode}` : `signal ${exit.signal}`
  return remexError('TRANSFER_FAILED', `${at.vmId}: the SFTP server ended before it said anything (${how})`, {
    vmId: at.vmId,
    hint: NO_SERVER_HINT,
    cause: error,
  })
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(undefined), { once: true }))
}
