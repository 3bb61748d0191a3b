import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { PseudoTtyInfo, ServerChannel, Session } from 'ssh2'
import { serveSftp } from './sftp-server.ts'
import { serveProcess, type ProcessPlan, type ServedProcess } from './ssh-process.ts'

/** What a session does wrong with a command. */
export type ExecFault = 'drops-before-exec-reply' | 'drops-after-exec-started' | 'never-replies' | 'stops-reading'

/** What all sessions of a server have in common. */
export interface SessionSettings {
  readonly shell: string
  readonly home: string
  readonly env: Readonly<Record<string, string>>
  readonly sftpRoot: string
  /** Path of OpenSSH's SFTP server; undefined: the kit's own. */
  readonly sftpServer: string | undefined
  readonly forceCommand: string | undefined
  readonly refuseSignals: boolean
  readonly killOnDisconnect: boolean
  readonly fault: ExecFault | undefined
  /** Told of each command before anything is done with it. */
  readonly onExec: (command: string) => void
  readonly onProcess: (started: ServedProcess) => void
}

/** The connection that a session belongs to, as far as it is concerned. */
export interface SessionLink {
  readonly login: string
  /** Breaks it with a TCP reset. */
  reset(): void
  /** Reads nothing more from it. */
  pause(): void
  /** Settles when it is gone. */
  readonly gone: Promise<void>
}

const SFTP_SERVERS = ['/usr/lib/openssh/sftp-server', '/usr/libexec/openssh/sftp-server', '/usr/libexec/sftp-server', '/usr/lib/ssh/sftp-server']

/** Path of OpenSSH's own SFTP server, where it is installed. */
export function opensshSftpServer(): string | undefined {
  return SFTP_SERVERS.find((path) => existsSync(path))
}

/** Serves one session channel: one command or the `sftp` subsystem, with signals and a pty. Returns when it is closed. */
export async function serveSession(session: Session, link: SessionLink, settings: SessionSettings): Promise<void> {
  const closed = new Promise<void>((resolve) => session.once('close', resolve))
  const context: Context = { link, settings, gone: Promise.race([closed, link.gone]), pty: undefined, process: undefined }
  keepSignalsAfterEof(session)
  session.on('pty', (accept, reject, info) => answer(hasScript() ? accept : reject, () => (context.pty = info)))
  session.on('signal', (accept, reject, info) => {
    if (settings.refuseSignals) return answer(reject)
    context.process?.signal(info.name)
    answer(accept)
  })
  session.on('exec', (accept, _reject, info) => exec(context, accept, info.command))
  session.on('subsystem', (accept, reject, info) => (info.name === 'sftp' ? sftp(context, accept()) : reject()))
  await context.gone
}

interface Context {
  readonly link: SessionLink
  readonly settings: SessionSettings
  readonly gone: Promise<void>
  pty: PseudoTtyInfo | undefined
  process: ServedProcess | undefined
}

type Program = Pick<ProcessPlan, 'file' | 'args'>

/** ssh2 leaves out `accept` and `reject` when the client wants no reply, whatever the types say. */
function answer(reply: (() => void) | undefined, then?: () => void): void {
  reply?.()
  then?.()
}

/** ssh2 1.17 drops all requests of a session once the client has sent EOF, so signals too; no other server does. */
function keepSignalsAfterEof(session: Session): void {
  session.on('eof', () => Reflect.set(session, '_ending', false))
}

function exec(context: Context, accept: () => ServerChannel, command: string): void {
  const { link, settings, pty } = context
  settings.onExec(command)
  if (settings.fault === 'drops-before-exec-reply') return link.reset()
  if (settings.fault === 'never-replies') return
  if (settings.fault === 'stops-reading') link.pause()
  const shellText = settings.forceCommand ?? command
  const program = pty ? ptyCommand(context, pty, shellText) : { file: settings.shell, args: ['-c', shellText] }
  start(context, accept(), program, settings.forceCommand === undefined ? {} : { SSH_ORIGINAL_COMMAND: command })
}

function sftp(context: Context, channel: ServerChannel): void {
  const { settings, gone } = context
  if (settings.sftpServer === undefined) void serveSftp(channel, { root: settings.sftpRoot, gone })
  else start(context, channel, { file: settings.sftpServer, args: ['-d', settings.sftpRoot] })
}

function start(context: Context, channel: ServerChannel, program: Program, env: Record<string, string> = {}): void {
  const { settings, link, gone, pty } = context
  context.process = serveProcess(channel, {
    ...program,
    gone,
    cwd: settings.home,
    env: { ...settings.env, ...env, USER: link.login, LOGNAME: link.login, ...(pty ? { TERM: termOf(pty) } : {}) },
    // Losing its terminal is what ends a command with a pty.
    killWhenGone: settings.killOnDisconnect || pty !== undefined,
    onStarted: settings.fault === 'drops-after-exec-started' ? () => link.reset() : undefined,
  })
  settings.onProcess(context.process)
}

/** util-linux's `script` gives a pty without a native module. It runs `$SHELL -c`. */
function ptyCommand({ settings }: Context, { cols, rows }: PseudoTtyInfo, command: string): Program {
  const sized = cols > 0 && rows > 0 ? `stty cols ${cols} rows ${rows}\n${command}` : command
  return { file: 'env', args: [`SHELL=${settings.shell}`, 'script', '-qfec', sized, '/dev/null'] }
}

function termOf(pty: PseudoTtyInfo): string {
  const term: unknown = Reflect.get(pty, 'term')
  return typeof term === 'string' && term !== '' ? term : 'vt100'
}

function hasScript(): boolean {
  const { error, stdout } = spawnSync('script', ['--version'], { encoding: 'utf8' })
  return error === undefined && stdout.includes('util-linux')
}
