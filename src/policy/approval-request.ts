import * as z from 'zod/mini'
import { canonical } from './digest.ts'

/** What is asked for, as it is told to who approves. */
export interface AskedFor {
  readonly user: string
  readonly osUser: string
  readonly vmId: string
  readonly operation: string
  /** The command without secrets, or what is moved; empty where the operation says it all. */
  readonly command: string
  /** What else matters of it: sudo, directory, names of variables. */
  readonly details: string
  /** The rule that asks, counted from 1. */
  readonly rule: number
  /** Who may approve; empty: anybody else. */
  readonly approvers: readonly string[]
  /** Of all that an approval binds. */
  readonly digest: string
}

/** A request for an approval, as it was written down. */
export interface ApprovalRequest extends AskedFor {
  readonly opId: string
  /** ISO 8601 in UTC. */
  readonly asked: string
  /** After it neither the request nor its approval counts. */
  readonly expires: string
}

/** The word of who approved. Who that is says the owner of its file. */
export interface ApprovalNote {
  readonly opId: string
  readonly digest: string
  /** SHA-256 of the request's file: what was read is what was approved. */
  readonly requestSha256: string
  /** The name that the approver gave. */
  readonly user: string
  readonly time: string
}

/** Also the name of its files. */
export const OP_ID = /^\d{8}t\d{6}-[0-9a-f]{16}$/

const HASH = z.string().check(z.regex(/^[0-9a-f]{64}$/))
const NAME = z.string().check(z.minLength(1))
const TIME = z.string().check(z.refine((text) => new Date(text).getTime() > 0 && new Date(text).toISOString() === text))

const REQUEST = z.object({
  op_id: z.string().check(z.regex(OP_ID)),
  user: NAME,
  os_user: NAME,
  vm_id: NAME,
  operation: NAME,
  command: z.string(),
  details: z.string(),
  rule: z.int().check(z.minimum(1)),
  approvers: z.array(NAME),
  asked: TIME,
  expires: TIME,
  digest: HASH,
})

const NOTE = z.object({ op_id: z.string(), digest: HASH, request_sha256: HASH, user: NAME, time: TIME })

/** The text of a request's file. */
export function requestText({ opId, osUser, vmId, approvers, ...rest }: ApprovalRequest): string {
  return `${JSON.stringify({ op_id: opId, os_user: osUser, vm_id: vmId, approvers: [...approvers], ...rest } satisfies z.infer<typeof REQUEST>)}\n`
}

/** The request of a file's text; undefined for what is none. */
export function requestOf(text: string): ApprovalRequest | undefined {
  const parsed = REQUEST.safeParse(jsonOf(text))
  if (!parsed.success) return undefined
  const { op_id: opId, os_user: osUser, vm_id: vmId, ...rest } = parsed.data
  return { opId, osUser, vmId, ...rest }
}

/** The text of an approval's file. */
export function noteText({ opId, requestSha256, ...rest }: ApprovalNote): string {
  return `${JSON.stringify({ op_id: opId, request_sha256: requestSha256, ...rest } satisfies z.infer<typeof NOTE>)}\n`
}

/** The approval of a file's text; undefined for what is none. */
export function noteOf(text: string): ApprovalNote | undefined {
  const parsed = NOTE.safeParse(jsonOf(text))
  if (!parsed.success) return undefined
  const { op_id: opId, request_sha256: requestSha256, ...rest } = parsed.data
  return { opId, requestSha256, ...rest }
}

/** Whether a request is for the very same, and says so in the same words. */
export function isSame(request: ApprovalRequest, asked: AskedFor): boolean {
  const { opId: _opId, asked: _asked, expires: _expires, ...facts } = request
  return canonical({ ...facts }) === canonical({ ...asked })
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
