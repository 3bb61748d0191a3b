import type { TransferAccess } from '../transfer/access.ts'
import type { Clock } from '../core/clock.ts'
import { remexError, withDetails, type RemexError } from '../core/errors.ts'
import { newRunId } from '../core/run-id.ts'
import { quoteWords } from '../core/quote.ts'
import type { Invocation } from '../session/invocation.ts'
import type { Session } from '../session/session.ts'

/** Commands of a transfer's own (checksums) say little. */
const MOST_OUTPUT_BYTES = 64 * 1024

/** A command that is a part of Remex's own work: under the login itself, with none of the host's defaults. */
export function ownCommand(text: string, clock: Clock): Pick<Invocation, 'runId' | 'text' | 'env' | 'cwd' | 'sudoUser' | 'pty' | 'timeoutMs' | 'maxOutputBytes' | 'attempts'> {
  return { runId: newRunId(clock.now()), text, env: {}, cwd: undefined, sudoUser: undefined, pty: undefined, timeoutMs: Infinity, maxOutputBytes: MOST_OUTPUT_BYTES, attempts: 1 }
}

/**
 * A session as the transfer room needs it. The commands are Remex's own parts of an operation that policy and
 * audit know already, under the login itself: neither sudo nor the host's other defaults apply.
 */
export function transferAccess(session: Session, clock: Clock): TransferAccess {
  return {
    vmId: session.host.id,
    sftp: (signal) => session.subsystem('sftp', signal),
    async run(command, { signal, stdin, onOutput } = {}) {
      const report = await session.run({
        ...ownCommand(typeof command === 'string' ? command : quoteWords(command), clock),
        stdin,
        idempotent: true,
        onOutput,
        signal,
      })
      if (report.ended === 'cancelled') signal?.throwIfAborted()
      if (report.error) throw ofTransfer(report.error, session)
      return { exitCode: report.exitCode, stdout: report.stdoutRaw, stderr: report.stderrRaw }
    },
  }
}

/** Whatever became of a command of ours may be repeated, and is not what the caller asked to run. */
function ofTransfer(error: RemexError, { host: { id, address, port } }: Session): RemexError {
  if (error.code !== 'CONNECTION_LOST') return withDetails(error, { mayHaveRun: false })
  return remexError('CONNECTION_LOST', `the connection to ${id} (${address} port ${port}) broke during the transfer`, { vmId: id, cause: error })
}
