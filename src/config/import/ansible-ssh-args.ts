import { splitWords } from './words.ts'

/** What arguments for ssh say of the way to a host. */
export interface SshArgs {
  /** Of -J or ProxyJump; undefined: none. */
  readonly jump: string | undefined
  readonly hasProxyCommand: boolean
  /** The options that have no place in a configuration of ours, without their values, which may be secret. */
  readonly others: readonly string[]
}

/** Short options of ssh that take a value. Source: ssh(1). */
const WITH_VALUE = /^-[BbcDEeFIiJLlmOoPpQRSWw]/

/** Reads arguments as ssh does: of a setting that is there twice, the first counts. */
export function readSshArgs(text: string): SshArgs {
  const words = splitWords(text)
  if (!words) return { jump: undefined, hasProxyCommand: false, others: ['what has an open quote'] }
  const others: string[] = []
  let proxy: { readonly kind: 'jump' | 'command'; readonly value: string } | undefined
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? ''
    const flag = word.slice(0, 2)
    const value = WITH_VALUE.test(word) ? word.slice(2) || (words[++index] ?? '') : ''
    const [, keyword = '', setting = ''] = flag === '-o' ? (/^\s*(\w+)[\s=]*(.*)$/s.exec(value) ?? []) : []
    if (flag === '-J' || /^proxyjump$/i.test(keyword)) proxy ??= { kind: 'jump', value: flag === '-J' ? value : setting }
    else if (/^proxycommand$/i.test(keyword)) proxy ??= { kind: 'command', value: setting }
    else others.push(flag === '-o' ? `-o ${keyword}` : flag.startsWith('-') ? flag : 'a word')
  }
  const isNone = proxy === undefined || proxy.value.toLowerCase() === 'none'
  return { jump: proxy?.kind === 'jump' && !isNone ? proxy.value : undefined, hasProxyCommand: proxy?.kind === 'command' && !isNone, others: [...new Set(others)] }
}
