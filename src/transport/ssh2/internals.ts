import type { Client, ClientChannel } from 'ssh2'

/**
 * What ssh2 1.17 keeps to itself and we cannot do without. Everything here does nothing, or says that it does not know,
 * where a later ssh2 looks different; `test/transport/internals.test.ts` fails then.
 */

/** The number that the next channel of this client gets; undefined: not known. */
export function nextChannelNumber(client: Client): number | undefined {
  const last = read(read(client, '_chanMgr'), '_cur')
  return typeof last === 'number' ? last + 1 : undefined
}

/**
 * Closes the channel with this number if it is still open, and says whether it was. ssh2 leaves a channel open whose request
 * was refused and gives it to nobody, so it would count against the server's MaxSessions; one that the server closed is gone.
 */
export function closeChannel(client: Client, number: number | undefined): boolean {
  if (number === undefined) return false
  const channel = read(read(read(client, '_chanMgr'), '_channels'), String(number))
  return typeof channel === 'object' && call(channel, 'close')
}

/** Sends a signal request; ssh2's own `signal` does nothing once standard input is at its end. ssh2 throws for a name that SSH lacks. */
export function sendSignal(channel: ClientChannel, name: string): void {
  const outgoing = read(channel, 'outgoing')
  const state = read(outgoing, 'state')
  if (state === 'open' || state === 'eof') call(read(read(channel, '_client'), '_protocol'), 'signal', [read(outgoing, 'id'), name])
}

/** Lets the server announce its host keys without an answer; ssh2 has it prove all of them at every login. Call it before the login. */
export function ignoreHostKeys(client: Client): void {
  const handlers = read(read(client, '_protocol'), '_handlers')
  const inner = read(handlers, 'GLOBAL_REQUEST')
  if (typeof handlers !== 'object' || handlers === null || typeof inner !== 'function') return
  Reflect.set(handlers, 'GLOBAL_REQUEST', (protocol: unknown, name: unknown, ...rest: readonly unknown[]): void => {
    if (name !== 'hostkeys-00@openssh.com') return void Reflect.apply(inner, undefined, [protocol, name, ...rest])
    // It wants no reply (OpenSSH PROTOCOL, section 2.5). But sshd holds back what comes next until TCP has acknowledged this, which takes
    // 40 ms where nothing is sent meanwhile: a keepalive carries that at once.
    const callbacks = read(client, '_callbacks')
    if (Array.isArray(callbacks) && call(protocol, 'ping')) callbacks.push(() => undefined)
  })
}

function read(from: unknown, name: string): unknown {
  return typeof from === 'object' && from !== null ? Reflect.get(from, name) : undefined
}

function call(on: unknown, name: string, args: readonly unknown[] = []): boolean {
  const method = read(on, name)
  if (typeof method !== 'function') return false
  Reflect.apply(method, on, args)
  return true
}
