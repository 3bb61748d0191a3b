import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { AuthContext, Connection } from 'ssh2'
import { resetSocket } from './loopback.ts'
import { forwardToLoopback } from './ssh-forward.ts'
import { serveSession, type SessionSettings } from './ssh-session.ts'

/** What a server does wrong at the login. */
export type AuthenticationFault = 'rejects-authentication' | 'closes-during-authentication'

/** What all connections of a server have in common. */
export interface ConnectionSettings {
  readonly checkLogin: (context: AuthContext) => void
  /** Session channels open at once. */
  readonly maxSessions: number
  readonly delayMs: number
  readonly fault: AuthenticationFault | undefined
  readonly onSession: () => void
  /** Told of each request to log in, before it is answered. */
  readonly onLogin: () => void
  readonly session: SessionSettings
}

/** Serves one connection until it is gone. */
export function serveConnection(connection: Connection, socket: Socket, settings: ConnectionSettings): void {
  const gone = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  const state = { login: '', openSessions: 0 }
  // What a client does wrong ends its connection, and nothing else.
  connection.on('error', () => socket.destroy())
  connection.on('authentication', (context) => {
    state.login = context.username
    settings.onLogin()
    void later(settings, socket, () => authenticate(context, socket, settings))
  })
  connection.on('session', (accept, reject) => void later(settings, socket, () => {
    if (state.openSessions >= settings.maxSessions) return reject()
    state.openSessions++
    settings.onSession()
    const link = { login: state.login, reset: () => resetSocket(socket), pause: () => void socket.pause(), gone }
    void serveSession(accept(), link, settings.session).finally(() => state.openSessions--)
  }))
  connection.on('tcpip', (accept, reject, info) => forwardToLoopback({ accept, reject, info, gone }))
}

/** In the same turn where there is no delay. An action that throws ends the connection. */
async function later({ delayMs }: ConnectionSettings, socket: Socket, action: () => void): Promise<void> {
  try {
    if (delayMs > 0) await delay(delayMs)
    action()
  } catch {
    socket.destroy()
  }
}

function authenticate(context: AuthContext, socket: Socket, { fault, checkLogin }: ConnectionSettings): void {
  if (fault === 'rejects-authentication') context.reject(['publickey'])
  else if (fault === 'closes-during-authentication') socket.destroy()
  else checkLogin(context)
}
