import { formatHostKey } from '../../src/core/host-key.ts'
import { hashedName, sampleHostKey } from './host-key-samples.ts'

/** The keys that the cases speak of. */
export const KEYS = { a: sampleHostKey(), b: sampleHostKey(), rsa: sampleHostKey('rsa'), ecdsa: sampleHostKey('ecdsa') }

/** What a case expects: the verdict, and the line it comes from where it has one. */
export type Expected = 'unknown' | 'changed' | `trusted ${number}` | `revoked ${number}`

/** A known_hosts file, a host that shows key `a`, and the verdict. */
export interface KnownHostsCase {
  readonly sentence: string
  readonly text: string
  readonly address: string
  readonly port: number
  readonly expected: Expected
  /** Why `ssh-keygen -F` is not asked: where it answers otherwise by design. */
  readonly notAsked: string | undefined
}

const a = formatHostKey(KEYS.a)
const b = formatHostKey(KEYS.b)
const rsa = formatHostKey(KEYS.rsa)
const hash = hashedName('vm01')
const longName = 'x'.repeat(1100)

type Row = readonly [sentence: string, text: string, host: string | readonly [string, number], expected: Expected, notAsked?: string]

const ROWS: readonly Row[] = [
  // Plain lines
  ['a key on its host’s line is trusted', `vm01 ${a}\n`, 'vm01', 'trusted 1'],
  ['an empty file knows nothing', '', 'vm01', 'unknown'],
  ['a host that no line names is unknown', `vm02 ${a}\n`, 'vm01', 'unknown'],
  ['another key on the host’s line means changed', `vm01 ${b}\n`, 'vm01', 'changed'],
  ['a key of another type alone means changed, never trusted', `vm01 ${rsa}\n`, 'vm01', 'changed'],
  ['the right key among several of one type is trusted', `vm01 ${b}\nvm01 ${a}\n`, 'vm01', 'trusted 2'],
  ['the right key among several types is trusted', `vm01 ${rsa}\nvm01 ${a}\n`, 'vm01', 'trusted 2'],
  ['the first of two equal lines is named', `vm01 ${a}\nvm01 ${a}\n`, 'vm01', 'trusted 1'],
  ['a last line without its newline counts', `vm02 ${b}\nvm01 ${a}`, 'vm01', 'trusted 2'],
  ['lines that end in CR LF count', `vm02 ${b}\r\nvm01 ${a}\r\n`, 'vm01', 'trusted 2'],
  ['a line that ends in CR LF after a comment counts', `vm01 ${a} comment\r\n`, 'vm01', 'trusted 1'],
  ['a comment after the key is not part of it', `vm01 ${a} root@vm01 and more\n`, 'vm01', 'trusted 1'],
  ['tabs separate fields too', `vm01\t${a.replace(' ', '\t')}\n`, 'vm01', 'trusted 1'],
  ['several blanks separate fields too', `vm01   ${a.replace(' ', ' \t ')}\n`, 'vm01', 'trusted 1'],
  ['blanks before the names are skipped', ` \t vm01 ${a}\n`, 'vm01', 'trusted 1'],
  ['comments and blank lines are skipped and counted as lines', `# vm01\n\n   \n  # indented\nvm01 ${a}\n`, 'vm01', 'trusted 5'],
  ['a line that is commented out does not count', `#vm01 ${a}\n`, 'vm01', 'unknown'],
  // Names
  ['one of several names is enough', `vm00,vm01,10.0.0.10 ${a}\n`, 'vm01', 'trusted 1'],
  ['an address is a name', `vm00,vm01,10.0.0.10 ${a}\n`, '10.0.0.10', 'trusted 1'],
  ['a name is not matched by its beginning', `vm0 ${a}\n`, 'vm01', 'unknown'],
  ['a name is not matched by its end', `vm01 ${a}\n`, 'm01', 'unknown'],
  ['names are the same in either case in the file', `VM01.Example.ORG ${a}\n`, 'vm01.example.org', 'trusted 1'],
  ['names are the same in either case in the question', `vm01 ${a}\n`, 'VM01', 'trusted 1'],
  ['empty names in a list match nothing', `,,vm02, ${a}\n`, 'vm01', 'unknown'],
  ['empty names in a list are passed over', `,vm02,,vm01 ${a}\n`, 'vm01', 'trusted 1'],
  ['a name with a final dot is another name', `vm01. ${a}\n`, 'vm01', 'unknown'],
  ['a dot is itself and not any character', `vm.1 ${a}\n`, 'vm01', 'unknown'],
  ['a name of more than 1,022 characters makes its line match nothing', `${longName},vm01 ${a}\n`, 'vm01', 'unknown'],
  ['a name in UTF-8 is matched byte for byte', `${Buffer.from('bücher').toString('latin1')} ${a}\n`, 'bücher', 'trusted 1'],
  // Wildcards
  ['a star matches any rest', `vm* ${a}\n`, 'vm01', 'trusted 1'],
  ['a star matches nothing as well', `vm01* ${a}\n`, 'vm01', 'trusted 1'],
  ['a star alone matches every host', `* ${a}\n`, 'vm01', 'trusted 1'],
  ['a star crosses dots', `*.org ${a}\n`, 'vm01.example.org', 'trusted 1'],
  ['several stars match', `v*0*1 ${a}\n`, 'vm-0-x-1', 'trusted 1'],
  ['a star that needs a second try matches', `*01 ${a}\n`, 'vm010101', 'trusted 1'],
  ['a star with the wrong end does not match', `*.com ${a}\n`, 'vm01.example.org', 'unknown'],
  ['a question mark matches one character', `vm?1 ${a}\n`, 'vm01', 'trusted 1'],
  ['a question mark does not match nothing', `vm01? ${a}\n`, 'vm01', 'unknown'],
  ['question mark and star together need one character', `vm01?* ${a}\n`, 'vm01', 'unknown'],
  ['a pattern with capital letters matches', `*.EXAMPLE.org ${a}\n`, 'vm01.example.org', 'trusted 1'],
  ['a wildcard with another key means changed', `* ${b}\n`, 'vm01', 'changed'],
  // Negation
  ['a negated name takes the host off the line', `*,!vm01 ${a}\n`, 'vm01', 'unknown'],
  ['a negated name works from the front', `!vm01,* ${a}\n`, 'vm01', 'unknown'],
  ['a negated pattern works', `*,!vm0? ${a}\n`, 'vm01', 'unknown'],
  ['a negated name leaves other hosts on the line', `*,!vm02 ${a}\n`, 'vm01', 'trusted 1'],
  ['a negated name alone matches nobody', `!vm02 ${a}\n`, 'vm01', 'unknown'],
  ['a negated name speaks of its own line only', `vm01,!vm01 ${b}\nvm01 ${a}\n`, 'vm01', 'trusted 2'],
  // Ports and IPv6
  ['another port is looked up in brackets', `[vm01]:2222 ${a}\n`, ['vm01', 2222], 'trusted 1'],
  ['the line of one port is not that of another', `[vm01]:2222 ${a}\n`, ['vm01', 2223], 'unknown'],
  ['the line of another port is not that of port 22', `[vm01]:2222 ${a}\n`, 'vm01', 'unknown'],
  ['brackets with port 22 are never looked up', `[vm01]:22 ${a}\n`, 'vm01', 'unknown'],
  ['a key known at port 22 is trusted at a port of which nothing is known', `vm01 ${a}\n`, ['vm01', 2222], 'trusted 1', 'port fallback'],
  ['another key known at port 22 does not make a port changed', `vm01 ${b}\n`, ['vm01', 2222], 'unknown', 'port fallback'],
  ['a key known at port 22 does not count where the port has its own', `vm01 ${a}\n[vm01]:2222 ${b}\n`, ['vm01', 2222], 'changed'],
  ['a wildcard matches names with ports as well', `* ${a}\n`, ['vm01', 2222], 'trusted 1'],
  ['a wildcard matches inside the brackets', `[*.org]:2222 ${a}\n`, ['vm01.org', 2222], 'trusted 1'],
  ['a wildcard matches the port', `[vm01]:* ${a}\n`, ['vm01', 2222], 'trusted 1'],
  ['an IPv6 address at port 22 has no brackets', `2001:db8::1 ${a}\n`, '2001:db8::1', 'trusted 1'],
  ['an IPv6 address at another port has brackets', `[2001:db8::1]:2222 ${a}\n`, ['2001:db8::1', 2222], 'trusted 1'],
  ['an IPv6 address is the same in its long form', `2001:db8::1 ${a}\n`, '2001:0DB8:0:0::0001', 'trusted 1'],
  ['an IPv6 address with a zone keeps it', `fe80::1%eth0 ${a}\n`, 'fe80::1%eth0', 'trusted 1'],
  ['an IPv6 address without its zone is another', `fe80::1 ${a}\n`, 'fe80::1%eth0', 'unknown'],
  // Hashed names
  ['a hashed name matches', `${hash} ${a}\n`, 'vm01', 'trusted 1'],
  ['a hashed name with another key means changed', `${hash} ${b}\n`, 'vm01', 'changed'],
  ['a hashed name of another host does not match', `${hashedName('vm02')} ${a}\n`, 'vm01', 'unknown'],
  ['a hashed name is matched in lower case', `${hash} ${a}\n`, 'VM01', 'trusted 1'],
  ['a hashed name has the port in it', `${hashedName('[vm01]:2222')} ${a}\n`, ['vm01', 2222], 'trusted 1'],
  ['a hashed name of port 22 does not name another port', `${hash} ${b}\n`, ['vm01', 2222], 'unknown', 'port fallback'],
  ['a hashed name in a list matches nothing', `${hash},vm01 ${a}\n`, 'vm01', 'unknown', 'it says that the line is invalid'],
  ['a hash with a cut salt matches nothing', `${hash.replace('|1|', '|1|A')} ${a}\n`, 'vm01', 'unknown'],
  ['a hash of an unknown kind matches nothing', `${hash.replace('|1|', '|2|')} ${a}\n`, 'vm01', 'unknown'],
  ['a hash cannot be negated', `*,!${hash} ${a}\n`, 'vm01', 'trusted 1'],
  // Markers
  ['a revoked key is revoked', `@revoked vm01 ${a}\n`, 'vm01', 'revoked 1'],
  ['revoked wins over trusted before it', `vm01 ${a}\n@revoked vm01 ${a}\n`, 'vm01', 'revoked 2'],
  ['revoked wins over trusted after it', `@revoked * ${a}\nvm01 ${a}\n`, 'vm01', 'revoked 1'],
  ['another revoked key does not matter', `@revoked * ${b}\nvm01 ${a}\n`, 'vm01', 'trusted 2'],
  ['a revoked line alone does not make a host known', `@revoked * ${b}\n`, 'vm01', 'unknown'],
  ['a key revoked for another host is not revoked', `@revoked vm02 ${a}\nvm01 ${a}\n`, 'vm01', 'trusted 2'],
  ['a key revoked by hash is revoked', `@revoked ${hash} ${a}\n`, 'vm01', 'revoked 1'],
  ['a key revoked at port 22 is revoked at every port', `@revoked vm01 ${a}\n[vm01]:2222 ${a}\n`, ['vm01', 2222], 'revoked 1', 'stricter'],
  ['a certificate authority does not vouch for a plain key', `@cert-authority * ${a}\n`, 'vm01', 'unknown'],
  ['a certificate authority does not make a key changed', `@cert-authority * ${b}\n`, 'vm01', 'unknown'],
  ['a certificate authority beside the key does not matter', `@cert-authority * ${b}\nvm01 ${a}\n`, 'vm01', 'trusted 2'],
  ['a tab may follow a marker', `@revoked\tvm01 ${a}\n`, 'vm01', 'revoked 1', 'OpenSSH ends a marker at the first blank of the line'],
  ['blanks may come before a marker', `  @revoked vm01 ${a}\n`, 'vm01', 'revoked 1'],
  // Malformed lines
  ['an unknown marker makes its line malformed', `@trusted vm01 ${a}\n`, 'vm01', 'unknown'],
  ['a marker in capital letters is unknown', `@REVOKED vm01 ${a}\n`, 'vm01', 'unknown'],
  ['two markers make a line malformed', `@revoked @cert-authority vm01 ${a}\n`, 'vm01', 'unknown'],
  ['a marker alone is malformed', `@revoked\nvm01 ${a}\n`, 'vm01', 'trusted 2'],
  ['a name alone is malformed', `vm01\nvm01 ${a}\n`, 'vm01', 'trusted 2'],
  ['a type without a key is malformed', `vm01 ssh-ed25519\nvm01 ${a}\n`, 'vm01', 'trusted 2'],
  ['a key without a type is malformed', `vm01 ${a.split(' ')[1]}\n`, 'vm01', 'unknown'],
  ['a type that the key does not have is malformed', `vm01 ${a.replace('ssh-ed25519', 'ssh-rsa')}\n`, 'vm01', 'unknown'],
  ['a key that is cut off is malformed', `vm01 ${a.slice(0, -9)}\n`, 'vm01', 'unknown'],
  ['a key with other characters in it is malformed', `vm01 ${a.slice(0, 40)}-${a.slice(41)}\n`, 'vm01', 'unknown'],
  ['a line of the first SSH protocol is malformed', 'vm01 1024 35 1234567890123456789\n', 'vm01', 'unknown'],
  ['a line with a NUL is malformed', `vm01\0 ${a}\n`, 'vm01', 'unknown', 'C strings end at a NUL'],
  ['a CR inside the names is malformed', `vm01\r,vm02 ${a}\n`, 'vm02', 'unknown', 'OpenSSH takes the CR as part of a name'],
  ['a malformed line does not hide those after it', `vm01 ssh-ed25519 %%%\n@@@\nvm01 ${a}\n`, 'vm01', 'trusted 3'],
  ['an RSA signature’s name may stand for the type', `vm01 ${rsa.replace('ssh-rsa', 'rsa-sha2-512')}\n`, 'vm01', 'changed'],
]

/** All cases. A host without a port is at port 22. */
export const CASES: readonly KnownHostsCase[] = ROWS.map(([sentence, text, host, expected, notAsked]) => {
  const [address, port] = typeof host === 'string' ? [host, 22] : host
  return { sentence, text, address, port, expected, notAsked }
})
