import { isIPv6 } from 'node:net'

/** Where a hop of a `jump` leads that is not a host of the file. */
export interface HopAddress {
  /** Undefined: the login of the host behind it. */
  readonly login: string | undefined
  /** Without brackets. */
  readonly address: string
  /** Default: 22. */
  readonly port: number
}

/** The hops of a `jump` in the order in which they are passed: `vm04,admin@inner:2222` is two. */
export function jumpHops(text: string): readonly string[] {
  return text.split(',').map((hop) => hop.trim())
}

/** Whether every hop of `text` may be one: a host id or `[user@]host[:port]`. */
export function isJump(text: string): boolean {
  return jumpHops(text).every((hop) => parseHop(hop) !== undefined)
}

/** `[user@]host[:port]` in its parts, or undefined where `text` is not of that form. An IPv6 address with a port needs brackets. */
export function parseHop(text: string): HopAddress | undefined {
  const [, login, rest = ''] = /^(?:([^\s@\p{Cc}-][^\s@\p{Cc}]*)@)?([^@]*)$/u.exec(text) ?? []
  if (rest.includes(':') && isIPv6(rest)) return { login, address: rest, port: 22 }
  const [, bracketed, name, portText = '22'] = /^(?:\[([^\]]+)\]|([\p{L}\p{N}_][\p{L}\p{N}_.-]*))(?::(\d{1,5}))?$/u.exec(rest) ?? []
  const address = bracketed ?? name
  const port = Number(portText)
  if (address === undefined || (bracketed !== undefined && !isIPv6(bracketed)) || port < 1 || port > 65_535) return undefined
  return { login, address, port }
}
