import type { FinishFields } from '../audit/log.ts'
import type { HostConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import { withDetails } from '../core/errors.ts'
import type { HostKey } from '../core/host-key.ts'
import type { Identity } from '../core/identity.ts'
import type { Session } from '../session/session.ts'
import type { ConnectionInfo } from '../transport/contract.ts'
import { ownCommand } from './access.ts'

/** The steps that enrolment is made of, as the policy and the audit log name them. */
export type StepOperation =
  | 'key_make' | 'key_add' | 'key_prove' | 'key_remove' | 'key_list' | 'key_retire' | 'key_destroy' | 'key_harden'
  | 'host_trust' | 'host_forget' | 'host_rotate' | 'host_inspect'

/** A step: what it is, and with which login it is done. */
export interface StepRequest<T> {
  readonly operation: StepOperation
  /** Fingerprint of the user's key that it is about. */
  readonly userKey?: string | undefined
  /** What else it is about, such as fingerprints of host keys: an approval is of this alone. */
  readonly about?: readonly string[] | undefined
  /** Log in with these alone, by a new connection. Default: the host's usual ways, over a connection that may be open already. */
  readonly identities?: readonly Identity[] | undefined
  readonly signal?: AbortSignal | undefined
  /** What the log is told of the result besides the connection. */
  readonly facts?: (result: T) => Pick<FinishFields, 'host_key' | 'user_key'>
}

/** A command of a step. */
export interface StepCommand {
  /** Standard input. Default: closed. */
  readonly stdin?: Buffer
  /** Whether to run it by `sudo -n` as root. Default: false. */
  readonly sudo?: boolean
}

/** What a step may do on its host. Everything rejects as connecting does. */
export interface HostSteps {
  readonly host: HostConfig
  /** Runs shell text under the host's /bin/sh; how it exited is the result. Rejects also with `TIMED_OUT`, `SUDO_FAILED` and `CONNECTION_LOST`. */
  run(text: string, command?: StepCommand): Promise<{ readonly exitCode: number | null; readonly stdout: Buffer; readonly stderr: Buffer }>
  /** Logs in, and does nothing else. */
  connect(): Promise<ConnectionInfo>
  /** All host keys that the host shows to anybody. */
  offeredHostKeys(): Promise<readonly HostKey[]>
  /** The host keys that it proves to those who have logged in. */
  provenHostKeys(): Promise<readonly HostKey[]>
  /** What it accepts as proof of who logs in. */
  loginMethods(): Promise<readonly string[]>
}

/** No step takes long; a host that hangs must not hold up the others. */
const STEP_TIMEOUT_MS = 60_000
/** An authorized_keys file is among what is read. */
const MOST_OUTPUT_BYTES = 4 * 1024 * 1024

/** A session as enrolment needs it. */
export function hostSteps(session: Session, { clock, attempts, signal }: { readonly clock: Clock; readonly attempts: number; readonly signal: AbortSignal | undefined }): HostSteps {
  return {
    host: session.host,
    async run(text, { stdin, sudo } = {}) {
      const command = { ...ownCommand(text, clock), sudoUser: sudo ? 'root' : undefined, timeoutMs: STEP_TIMEOUT_MS, maxOutputBytes: MOST_OUTPUT_BYTES, attempts }
      const report = await session.run({ ...command, stdin, idempotent: false, onOutput: undefined, signal })
      if (report.error) throw withDetails(report.error, { vmId: session.host.id })
      return { exitCode: report.exitCode, stdout: report.stdoutRaw, stderr: report.stderrRaw }
    },
    connect: () => session.connect(signal),
    offeredHostKeys: () => session.offeredHostKeys(signal),
    provenHostKeys: () => session.provenHostKeys(signal),
    loginMethods: () => session.loginMethods(signal),
  }
}
