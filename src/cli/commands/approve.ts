import type { Command } from 'commander'
import { asRemexError, ERRORS } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import type { ApprovalRequest } from '../../policy/approval-request.ts'
import type { Remex } from '../../remex.ts'
import { complain } from '../complaint.ts'
import { notice, printJson, withRemex, type Door, type Start } from '../door.ts'
import { tableLines } from '../table.ts'

/** `remex approve`. */
export function defineApprove(command: Command, start: Start): void {
  command
    .argument('[op-id...]', 'requests, by the ids that their refusals named; without any, what waits is listed')
    .description('Approves what a rule of the policy asks a second person for: once, until it expires. Nothing more is asked: typing it is the approval.')
    .addHelpText('after', EXAMPLES)
    .action((opIds: readonly string[]) => start(command, (door) => (opIds.length === 0 ? listPending(door) : approveAll(door, opIds))))
}

async function listPending(door: Door): Promise<number> {
  return withRemex(door, async ({ approvals }) => {
    const requests = await approvals.list()
    if (door.globals.json) for (const request of requests) await printJson(door, rowOf(request))
    else if (requests.length === 0) notice(door, 'nothing waits for an approval')
    else for (const line of tableLines(HEAD, requests.map(cellsOf))) await door.stdout.line(line)
    return 0
  })
}

async function approveAll(door: Door, opIds: readonly string[]): Promise<number> {
  return withRemex(door, async (remex) => {
    const statuses: number[] = []
    for (const opId of opIds) statuses.push(await approveOne(door, remex, opId))
    return Math.max(...statuses)
  })
}

/** One that cannot be approved does not keep the others from it. */
async function approveOne(door: Door, { approvals }: Remex, opId: string): Promise<number> {
  try {
    const request = await approvals.approve(opId)
    if (door.globals.json) await printJson(door, { ...rowOf(request), error: null })
    else await door.stdout.line(printable(`approved ${opId}: ${wish(request)}, once, before ${request.expires}`))
    return 0
  } catch (thrown) {
    const error = asRemexError(thrown)
    if (door.globals.json) await printJson(door, { op_id: opId, error })
    else complain(door, error)
    return ERRORS[error.code].exitStatus
  }
}

function wish(request: ApprovalRequest): string {
  const { user, osUser, operation, vmId, command, details } = request
  const who = user === osUser ? user : `${user} (${osUser})`
  return `${who} may ${operation} on ${vmId}${command === '' ? '' : `: ${command}`}${details === '' ? '' : ` (${details})`}`
}

const HEAD = ['OP-ID', 'USER', 'HOST', 'OPERATION', 'RULE', 'EXPIRES', 'WHAT']

function cellsOf(request: ApprovalRequest): string[] {
  const { opId, user, osUser, vmId, operation, rule, expires, command, details } = request
  const what = details === '' ? command : `${command} (${details})`
  return [opId, user === osUser ? user : `${user} (${osUser})`, vmId, operation, String(rule), expires, what]
}

function rowOf({ opId, vmId, user, osUser, operation, command, details, rule, approvers, asked, expires }: ApprovalRequest): object {
  return { op_id: opId, vm_id: vmId, user, os_user: osUser, operation, command, details, rule, approvers, asked, expires }
}

const EXAMPLES = `
Examples:
  remex approve                                   what waits for an approval
  remex approve 20260131t120000-4c6a4688bd444015
`
