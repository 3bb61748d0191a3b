import { formatPatch, OMIT_HEADERS, structuredPatch } from 'diff'
import { PrefixedLines } from '../prefixed-lines.ts'
import type { Spool } from './spool.ts'

/** More is not compared line by line: it would take long, and nobody would read it. */
const MOST_BYTES = 1024 * 1024
/** Lines that are only in one of the two; two outputs with more of them have little in common. */
const MOST_EDITS = 1000
const LONGEST_MS = 1000

/** One stream of a group, for a comparison. */
export interface Side {
  /** The hosts, folded. */
  readonly name: string
  readonly sizeBytes: number
  /** The lines as they are printed; undefined for what is no text, or too long to compare. */
  readonly text: string | undefined
}

/** Reads a stream for {@link differences}. Rejects with the system's error. */
export async function sideOf(name: string, spool: Spool): Promise<Side> {
  const { sizeBytes } = spool
  if (sizeBytes > MOST_BYTES || spool.error) return { name, sizeBytes, text: undefined }
  const parts: Buffer[] = []
  for await (const part of spool.read()) parts.push(part)
  return { name, sizeBytes, text: shownText(Buffer.concat(parts)) }
}

/** How `other` differs from `from`, as the lines of a unified diff; where that says nothing, a line with the sizes. */
export function differences(from: Side, other: Side): string[] {
  const sizes = `${count(other.sizeBytes)}; ${from.name}: ${count(from.sizeBytes)}`
  if (from.text === undefined || other.text === undefined) return [`differs: ${sizes}`]
  const patch = structuredPatch(from.name, other.name, from.text, other.text, '', '', { context: 3, maxEditLength: MOST_EDITS, timeout: LONGEST_MS })
  if (!patch) return [`differs in most lines: ${sizes}`]
  if (patch.hunks.length === 0) return [`differs only in what lines do not show: ${sizes}`]
  return [`--- ${from.name}`, `+++ ${other.name}`, ...formatPatch(patch, OMIT_HEADERS).replace(/\n$/, '').split('\n')]
}

/** The lines as they are printed; undefined for bytes that are no text. */
function shownText(bytes: Buffer): string | undefined {
  if (bytes.includes(0)) return undefined
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
  const lines = new PrefixedLines('')
  return lines.add(bytes) + lines.end()
}

function count(sizeBytes: number): string {
  return `${sizeBytes.toLocaleString('en-US')} ${sizeBytes === 1 ? 'byte' : 'bytes'}`
}
