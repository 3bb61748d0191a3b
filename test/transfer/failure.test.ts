import { randomBytes } from 'node:crypto'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { RemexError, remexError } from '../../src/core/errors.ts'
import type { Channel } from '../../src/transport/contract.ts'
import { download } from '../../src/transfer/download.ts'
import { upload } from '../../src/transfer/upload.ts'
import { localAccess, sftpServerPath } from './local-access.ts'
import { relayed, statusReply, typeOf } from './relay.ts'
import type { Relay } from './relay.ts'
import { leftovers, scratch } from './scratch.ts'

const OLD = 'the old content'
const NEW = randomBytes(600_000)
const WITHOUT = 'upload without any extension'
const DEADLINE = remexError('TIMED_OUT', 'the deadline passed')

/** What goes wrong at one request; returns what the server gets. */
interface Fault {
  readonly what: string
  readonly strike: (request: Buffer, relay: Relay, controller: AbortController) => readonly Buffer[]
  /** Strikes at the answer in place of the request: what was asked has been done. */
  readonly afterwards?: boolean
}

const FAULTS: Fault[] = [
  {
    what: 'the server refuses',
    strike: (request, relay) => {
      relay.reply(statusReply(request, 4))
      return []
    },
  },
  {
    what: 'the connection breaks before',
    strike: (_request, relay) => {
      relay.cut()
      return []
    },
  },
  {
    what: 'the connection breaks after',
    afterwards: true,
    strike: (_reply, relay) => {
      relay.cut()
      return []
    },
  },
  {
    what: 'the deadline passes before',
    strike: (request, _relay, controller) => {
      controller.abort(DEADLINE)
      return [request]
    },
  },
  {
    what: 'the deadline passes while no answer comes to',
    strike: (_request, _relay, controller) => {
      setImmediate(() => controller.abort(DEADLINE))
      return []
    },
  },
]

/** Something in the middle that strikes once. */
interface Striking {
  readonly wrap: (channel: Channel) => Channel
  readonly struck: () => boolean
}

/** Lets `fault` strike at the n-th packet of a kind that carries the transfer; the greeting is not one. */
function striking(fault: Fault, n: number, controller: AbortController): Striking {
  let seen = 0
  const hook = (packet: Buffer, relay: Relay): readonly Buffer[] => {
    if (typeOf(packet) <= 2) return [packet]
    seen += 1
    return seen === n ? fault.strike(packet, relay, controller) : [packet]
  }
  const hooks = fault.afterwards ? { onReply: hook } : { onRequest: hook }
  return { wrap: (channel) => relayed(channel, hooks), struck: () => seen >= n }
}

interface Attempt {
  readonly directory: string
  readonly wrap: (channel: Channel) => Channel
  readonly signal: AbortSignal
  readonly serverFlags: readonly string[]
}

const DIRECTIONS: [string, readonly string[], (attempt: Attempt) => Promise<unknown>][] = [
  [
    'upload',
    [],
    ({ directory, wrap, signal }) => upload(localAccess({ home: directory, wrap }), { data: NEW, remotePath: 'target', signal }),
  ],
  [
    WITHOUT,
    ['-P', 'posix-rename,statvfs,fsync,limits'],
    ({ directory, wrap, signal, serverFlags }) =>
      upload(localAccess({ home: directory, wrap, serverFlags }), { data: NEW, remotePath: 'target', signal }),
  ],
  [
    'download',
    [],
    ({ directory, wrap, signal }) =>
      download(localAccess({ home: directory, wrap }), { remotePath: 'source', localPath: join(directory, 'target'), signal }),
  ],
]

/** One row: a direction, a fault. */
interface Row {
  readonly flags: readonly string[]
  readonly run: (attempt: Attempt) => Promise<unknown>
  readonly fault: Fault
}
type Case = [string, string, Row]

const matrix = DIRECTIONS.flatMap(([direction, flags, run]) => FAULTS.map((fault): Case => [direction, fault.what, { flags, run, fault }]))

describe.skipIf(sftpServerPath === undefined)('a transfer that fails', () => {
  it.each(matrix)('(%s) because %s any one of its requests leaves a whole file', { timeout: 60_000 }, async (direction, _what, row) => {
    const { flags, run, fault } = row
    let isThrough = false
    for (let n = 1; !isThrough; n += 1) {
      const directory = await scratch()
      await writeFile(join(directory, 'target'), OLD, { mode: 0o640 })
      await writeFile(join(directory, 'source'), NEW)
      const before = await stat(join(directory, 'target'))
      const controller = new AbortController()
      const { wrap, struck } = striking(fault, n, controller)
      const error = await run({ directory, wrap, signal: controller.signal, serverFlags: flags }).then(
        () => undefined,
        (caught: unknown) => caught,
      )
      isThrough = error === undefined && !struck()
      const found = await Promise.all([readFile(join(directory, 'target')), stat(join(directory, 'target'))]).catch(() => undefined)
      await judge({ directory, direction, fault, error, found, before, n })
    }
  })
})

interface Aftermath {
  readonly directory: string
  readonly direction: string
  readonly fault: Fault
  readonly error: unknown
  readonly found: [Buffer, { readonly ino: number; readonly mode: number }] | undefined
  readonly before: { readonly ino: number; readonly mode: number }
  readonly n: number
}

async function judge({ directory, direction, fault, error, found, before, n }: Aftermath): Promise<void> {
  const at = `${direction}, ${fault.what} request ${n}: ${String(error)}`
  const left = await leftovers(directory)
  const isCut = fault.what.startsWith('the connection')
  if (error !== undefined) {
    expect(error, at).toBeInstanceOf(RemexError)
    if (!isCut && error instanceof RemexError && error.code === 'TIMED_OUT' && left.length === 0) expect(error, at).toBe(DEADLINE)
  }
  // Only where the host cannot be asked any more, or does not remove the old file that it made us rename aside, may
  // something stay, and then the error names it.
  for (const name of left) {
    const isOldOne = direction === WITHOUT && String(error).includes('the new file is in place')
    expect(isCut || isOldOne, `${at}; left: ${left.join()}`).toBe(true)
    expect(String(error), at).toContain(name)
  }
  if (found === undefined) {
    // Without posix-rename there is a moment without a target; when the connection breaks in it, the error says where the old file is.
    expect([direction, isCut, left.length > 0], at).toEqual([WITHOUT, true, true])
    return
  }
  const [content, now] = found
  if (content.equals(NEW)) {
    expect(now.mode, at).toBe(before.mode)
    return
  }
  expect(content.toString(), at).toBe(OLD)
  expect([now.ino, now.mode], at).toEqual([before.ino, before.mode])
  expect(error, at).toBeDefined()
}
