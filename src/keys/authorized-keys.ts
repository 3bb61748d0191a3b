import { formatHostKey, parseHostKey, type HostKey } from '../core/host-key.ts'

/** A line of an `authorized_keys` file that lets a key in. */
export interface AuthorizedKey {
  readonly key: HostKey
  /** As they stand before the key (`from="10.0.0.1",no-pty`); empty where there are none. */
  readonly options: string
  /** What stands behind the key; often who has it. */
  readonly comment: string
  /** Counted from 1. */
  readonly line: number
}

/**
 * The keys that the text of an `authorized_keys` file lets in, in its order. What cannot be understood is passed over, as sshd does.
 * `text` has one character per byte (latin1), so that what is not changed is written back byte for byte.
 * Source: sshd(8), AUTHORIZED_KEYS FILE FORMAT.
 */
export function authorizedKeys(text: string): readonly AuthorizedKey[] {
  return text.split('\n').flatMap((line, index) => {
    const found = parseLine(line)
    return found ? [{ ...found, line: index + 1 }] : []
  })
}

/** The text with a line for `key` at its end; the same text where some line has that key already. */
export function withKey(text: string, { key, options, comment }: Pick<AuthorizedKey, 'key' | 'options' | 'comment'>): string {
  if (authorizedKeys(text).some((one) => isSame(one.key, key))) return text
  const whole = text === '' || text.endsWith('\n') ? text : `${text}\n`
  return `${whole}${[options, formatHostKey(key), comment].filter((part) => part !== '').join(' ')}\n`
}

/** The text without the lines of `keys`, and what they were. All other lines stay as they are. */
export function withoutKeys(text: string, keys: readonly HostKey[]): { readonly text: string; readonly removed: readonly AuthorizedKey[] } {
  const removed = authorizedKeys(text).filter((one) => keys.some((key) => isSame(one.key, key)))
  const gone = new Set(removed.map(({ line }) => line))
  const lines = text.match(/[^\n]*\n|[^\n]+$/g) ?? []
  return { text: lines.filter((_, index) => !gone.has(index + 1)).join(''), removed }
}

const isSame = (one: HostKey, other: HostKey): boolean => one.blob.equals(other.blob)

function parseLine(line: string): Omit<AuthorizedKey, 'line'> | undefined {
  const text = line.trim()
  if (text === '' || text.startsWith('#')) return undefined
  const plain = parseHostKey(text)
  if (plain) return { key: plain, options: '', comment: commentOf(text) }
  const options = optionsOf(text)
  const rest = text.slice(options.length).trim()
  const key = parseHostKey(rest)
  return key && { key, options, comment: commentOf(rest) }
}

/** Up to the first white space outside quotes; within quotes `\"` is a quote. */
function optionsOf(text: string): string {
  return /^(?:[^\s"]|"(?:\\"|[^"])*")+/.exec(text)?.[0] ?? ''
}

function commentOf(text: string): string {
  return /^\S+[ \t]+\S+[ \t]+(.*)$/.exec(text)?.[1]?.trim() ?? ''
}
