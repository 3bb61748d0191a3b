import { createHash } from 'node:crypto'
import { quoteWord } from '../../core/quote.ts'

/** What a host is asked for, and what its answers are called. */
const FACTS = [
  'date', 'uname', 'login_shell', 'proc', 'checksum', 'home', 'home_writable', 'df_home', 'inodes_home', 'df_tmp', 'inodes_tmp', 'uid', 'sudo',
  'server', 'port', 'maxsessions', 'maxstartups', 'persourcepenalties', 'clientaliveinterval', 'end',
] as const

/** The name of a fact. */
export type FactName = (typeof FACTS)[number]

/** What a host says of itself; nothing of it is proven. */
export interface HostFacts {
  /** By name, in the order in which they came; what a host did not say is not there. */
  readonly values: ReadonlyMap<FactName, readonly string[]>
  /** What came on standard output ahead of the first answer: start-up files of the login print it. */
  readonly noise: string
}

/** What every line of an answer begins with. */
const MARK = 'remex-doctor '
/** All answers together take some hundred bytes; more is not from the script. */
const MOST_BYTES = 64 * 1024
const MOST_VALUES = 8
const LONGEST_VALUE = 300

/** Those that a transfer would use, in its order. */
export const CHECKSUM_TOOLS = ['openssl dgst -sha256', 'sha256sum', 'shasum -a 256', 'busybox sha256sum', 'sha256']
const HASH_OF_NOTHING = createHash('sha256').digest('hex')

/**
 * POSIX shell text that prints the facts of a host, a line for each, and writes nowhere else. The time comes first, so that nothing slow
 * stands before it. `sudoUser` is whom commands would run as under sudo.
 */
export function factsScript(sudoUser: string): string {
  return [
    'LC_ALL=C; export LC_ALL; PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"',
    `say() { printf "%s\\n" "${MARK}$*"; }`,
    'say date "$(date +%s 2>/dev/null)"',
    'say uname "$(uname -srm 2>/dev/null)"',
    'say login_shell "$SHELL"',
    '[ -d /proc/self ] && say proc yes',
    `for t in ${CHECKSUM_TOOLS.map((tool) => `"${tool}"`).join(' ')}; do case $($t 2>/dev/null </dev/null) in *${HASH_OF_NOTHING}*) say checksum "$t";; esac; done`,
    'say home "$HOME"; [ -w "$HOME" ] && say home_writable yes',
    'row() { df "$1" "$2" 2>/dev/null </dev/null | tail -n 1; }',
    'say df_home "$(row -Pk "$HOME")"; say inodes_home "$(row -Pi "$HOME")"; say df_tmp "$(row -Pk /tmp)"; say inodes_tmp "$(row -Pi /tmp)"',
    'u=$(id -u 2>/dev/null); say uid "$u"',
    `if command -v sudo >/dev/null 2>&1; then sudo -n -u ${quoteWord(sudoUser)} -- true </dev/null >/dev/null 2>&1; r=$?; else r=none; fi; say sudo "$r"`,
    'say server "$SSH_CONNECTION"',
    // What only root may read is asked for where that is certain to be allowed: a refused sudo is reported on the host.
    `s=; [ "$u" = 0 ] || { s="sudo -n"; [ "$r" = 0 ] || s=false; }`,
    'd=$(command -v sshd) && $s "$d" -T 2>/dev/null </dev/null | while read -r k v; do case $k in port|maxsessions|maxstartups|persourcepenalties|clientaliveinterval) say "$k" "$v";; esac; done',
    'say end yes',
  ].join('; ')
}

/** The facts in what a host printed, whatever that is. */
export function parseFacts(stdout: Buffer): HostFacts {
  const text = stdout.subarray(0, MOST_BYTES).toString('utf8')
  const values = new Map<FactName, string[]>()
  let noise = ''
  for (const line of text.split('\n')) {
    const fact = factOf(line)
    if (!fact) {
      if (values.size === 0 && line.trim() !== '') noise ||= line.slice(0, LONGEST_VALUE)
      continue
    }
    const known = values.get(fact.name) ?? []
    values.set(fact.name, known)
    if (fact.value !== '' && known.length < MOST_VALUES) known.push(fact.value)
  }
  return { values, noise: values.size === 0 ? '' : noise }
}

function factOf(line: string): { readonly name: FactName; readonly value: string } | undefined {
  if (!line.startsWith(MARK)) return undefined
  const rest = line.slice(MARK.length)
  const space = rest.indexOf(' ')
  const word = space < 0 ? rest : rest.slice(0, space)
  const name = FACTS.find((known) => known === word)
  return name && { name, value: space < 0 ? '' : rest.slice(space + 1, space + 1 + LONGEST_VALUE).trim() }
}

/** The first value of a fact; undefined where the host did not say. */
export function valueOf({ values }: HostFacts, name: FactName): string | undefined {
  return values.get(name)?.[0]
}
