import { isIPv6 } from 'node:net'

/** A hop as OpenSSH's -J and ProxyJump take it, in its parts. */
export interface HopParts {
  readonly login: string | undefined
  /** Without brackets. */
  readonly name: string
  readonly port: number | undefined
}

/** The hops of `[ssh://][user@]host[:port],…`, each undefined where it cannot be read. */
export function splitHops(text: string): readonly (HopParts | undefined)[] {
  return text.split(',').map((hop) => splitHop(hop.trim()))
}

function splitHop(text: string): HopParts | undefined {
  const [, login, rest = ''] = /^(?:ssh:\/\/)?(?:(.+)@)?([^@]*?)\/?$/.exec(text) ?? []
  if (isIPv6(rest)) return { login, name: rest, port: undefined }
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(rest) ?? []
  const name = bracketed ?? plain
  return name === undefined ? undefined : { login, name, port: port === undefined ? undefined : Number(port) }
}

/** A hop as `jump` takes one that is not a host of the file. */
export function hopAddress({ login, name, port }: HopParts): string {
  const bracketed = isIPv6(name) ? `[${name}]` : name
  // A name alone would be taken for a host of the file.
  const isPlain = login === undefined && !/[.:]/.test(name)
  const shownPort = port === undefined || port === 22 ? (isPlain ? ':22' : '') : `:${port}`
  return `${login === undefined ? '' : `${login}@`}${bracketed}${shownPort}`
}
