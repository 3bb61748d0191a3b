import type { KillVerdict } from '../core/outcome.ts'
import type { Secret } from '../core/secret.ts'
import { sha256 } from './line.ts'
import { Mask } from './masking/mask.ts'
import type { AuditRecord, Draft } from './record.ts'

/** Fields of a record, and what must not be seen in them. */
export type DraftFields = Partial<Omit<AuditRecord, 'seq' | 'time' | 'event' | 'prev' | 'hash'>> & {
  /** Values that are replaced in `command`, `local`, `remote` and `reason`. Never recorded themselves. */
  readonly secrets?: readonly Secret[]
}

const MAX_COMMAND_BYTES = 16_384
const MAX_TEXT_BYTES = 4096
const MAX_NAMES = 256
const MAX_NAME_BYTES = 256
const MAX_SURVIVORS = 1024
const CUT_MARK = '…[cut]'

/**
 * The record of `event` with these fields: masked first, also by `patterns`, then bounded. A command over 16 KiB is cut, with the length
 * and the SHA-256 of the whole beside it; any other text is cut at 4 KiB, both with the mark `…[cut]`. Of `env_names`
 * 256 are kept, of `killed.survivors` 1,024.
 */
export function draft(event: string, time: string, { secrets = [], ...fields }: DraftFields, patterns: readonly RegExp[] = []): Draft {
  const { command, local, remote, reason, env_names, killed, ...plain } = fields
  const mask = new Mask(secrets, patterns)
  const hide = (text: string | undefined): string | undefined => (text === undefined ? undefined : mask.mask(text))
  return withoutUndefined({
    ...mapTexts(plain),
    ...commandFields(hide(command)),
    ...mapTexts({ local: hide(local), remote: hide(remote), reason: hide(reason) }),
    env_names: env_names?.slice(0, MAX_NAMES).map((name) => cut(name, MAX_NAME_BYTES)),
    killed: killed && boundedVerdict(killed),
    time,
    event: cut(event, MAX_NAME_BYTES),
  })
}

function commandFields(command: string | undefined): Pick<Draft, 'command' | 'command_bytes' | 'command_sha256'> {
  if (command === undefined || Buffer.byteLength(command) <= MAX_COMMAND_BYTES) return { command }
  return { command: cut(command, MAX_COMMAND_BYTES), command_bytes: Buffer.byteLength(command), command_sha256: sha256(command) }
}

function boundedVerdict(verdict: KillVerdict): KillVerdict {
  return { ...verdict, survivors: verdict.survivors.slice(0, MAX_SURVIVORS) }
}

/** The same fields, each text at most 4 KiB long. */
function mapTexts<T extends object>(fields: T): T {
  const bounded = { ...fields }
  for (const [name, value] of Object.entries(fields)) if (typeof value === 'string') Object.assign(bounded, { [name]: cut(value, MAX_TEXT_BYTES) })
  return bounded
}

/** At most `maxBytes` of UTF-8, and a mark where that is less than all. Never half a character. */
function cut(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(maxBytes))
  return text.slice(0, read) + CUT_MARK
}

/** A field that does not apply must not hide another's when records are put together. */
function withoutUndefined<T extends object>(fields: T): T {
  const given = { ...fields }
  for (const name in given) if (given[name] === undefined) delete given[name]
  return given
}
