import type { Readable, Writable } from 'node:stream'
import { remexError } from '../../../core/errors.ts'
import { printable } from '../../../core/printable.ts'
import { sshString, type WireReader } from '../../../core/ssh-wire.ts'
import { inputStream } from '../../channel-streams.ts'
import type { Channel, ChannelExit } from '../../contract.ts'
import { sinkStream } from '../../sink.ts'
import { MuxChannel, type ChannelHome } from './mux-channel.ts'

/** The signals that SSH has. Source: RFC 4254 section 6.10. */
const SIGNALS = ['ABRT', 'ALRM', 'FPE', 'HUP', 'ILL', 'INT', 'KILL', 'PIPE', 'QUIT', 'SEGV', 'TERM', 'USR1', 'USR2']

/** A session channel: a remote process, or a subsystem. */
export class ExecChannel implements Channel {
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable
  readonly exit: Promise<ChannelExit>
  readonly closed: Promise<void>
  /** Beneath it, for who opens it. */
  readonly mux: MuxChannel

  constructor(number: number, home: ChannelHome) {
    const stdout = sinkStream((sink) => this.mux.release(sink))
    const stderr = sinkStream((sink) => this.mux.release(sink))
    let tellExit: (exit: ChannelExit) => void = () => undefined
    this.exit = new Promise((resolve) => { tellExit = resolve })
    const onRequest = (name: string, rest: WireReader): void => {
      const exit = exitOf(name, rest)
      if (exit) tellExit(exit)
    }
    this.mux = new MuxChannel(number, home, { stdout: stdout.sink, stderr: stderr.sink, onRequest })
    this.stdout = stdout.stream
    this.stderr = stderr.stream
    this.stdin = inputStream(this.mux)
    this.closed = this.mux.over
    void this.closed.then(() => tellExit({ kind: 'lost' }))
  }

  get isOutputWhole(): boolean {
    return this.mux.isWhole
  }

  /** Throws `USAGE` for a name that SSH does not have (RFC 4254 section 6.10). */
  signal(name: string): void {
    if (!SIGNALS.includes(name)) throw remexError('USAGE', `SSH has no signal ${printable(name)}`)
    this.mux.tell('signal', sshString(name))
  }

  close(): void {
    this.mux.close()
  }
}

/** Source: RFC 4254 section 6.10. */
function exitOf(name: string, rest: WireReader): ChannelExit | undefined {
  if (name === 'exit-status') return { kind: 'exited', exitCode: rest.uint32() }
  if (name === 'exit-signal') return { kind: 'signaled', signal: printable(rest.text().slice(0, 64)) }
  return undefined
}
