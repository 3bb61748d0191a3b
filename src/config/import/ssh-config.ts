import { isIPv6 } from 'node:net'
import { SSHConfig } from 'ssh-config'
import { remexError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import { isJump } from '../jump.ts'
import { hopAddress, splitHops, type HopParts } from './hop.ts'
import { MOST_HOSTS, Notices, type Hop, type Imported, type ImportedHost, type SourceFile } from './imported.ts'
import { holds, readBlocks, type Directive, type Includes, type SshBlocks } from './ssh-blocks.ts'

/** What ssh_config is read with. */
export interface SshSurroundings extends Includes {
  /** The user who runs remex: the login where none is set. */
  readonly osUser: string
  /** Whether there is a file at the path. */
  readonly exists: (path: string) => Promise<boolean>
}

/** The settings of one name, as ssh would compute them. */
interface SshValues {
  /** What it connects to; lower case, as with ssh. */
  readonly hostName: string
  readonly port: string | undefined
  readonly user: string | undefined
  /** In order; undefined where none is set. */
  readonly identityFiles: readonly string[] | undefined
  /** Undefined: none. */
  readonly proxyJump: string | undefined
  readonly proxyCommand: string | undefined
  readonly hostKeyAlias: string | undefined
}

interface Importing {
  readonly read: SshBlocks
  readonly around: SshSurroundings
  readonly notices: Notices
}

/**
 * Every name behind a `Host` of an ssh_config that is no pattern, with the settings that ssh computes for it.
 * Nothing is executed. Throws `CONFIG_INVALID` for a file that cannot be read, and for more than 10,000 hosts.
 */
export async function importSshConfig(file: SourceFile, around: SshSurroundings): Promise<Imported> {
  const notices = new Notices()
  const importing = { read: await readBlocks(file, around, notices), around, notices }
  const { aliases } = importing.read
  if (aliases.size > MOST_HOSTS) throw remexError('CONFIG_INVALID', `${printable(file.path)} has ${aliases.size} hosts; at most ${MOST_HOSTS} can be taken over`, { hint: 'Split the file.' })
  const hosts: ImportedHost[] = []
  for (const alias of aliases) hosts.push(await importHost(alias, importing))
  return { hosts, leftOut: [], notices }
}

async function importHost(alias: string, importing: Importing): Promise<ImportedHost> {
  const values = valuesOf(alias, importing.read)
  const jump = jumpOf(alias, values, importing)
  if (values.hostKeyAlias !== undefined && jump !== BEYOND_US) importing.notices.add('HostKeyAlias cannot be kept; the host key is looked for under its address: remex hosts trust', alias)
  return {
    id: alias,
    address: values.hostName,
    port: portOf(values.port),
    login: values.user,
    identityFile: await identityFile(alias, values, importing),
    jump: jump === BEYOND_US ? [] : jump,
    groups: [],
    sudo: undefined,
    sshConfig: jump === BEYOND_US ? alias : undefined,
    disabled: undefined,
  }
}

const portOf = (text: string | undefined): number | string | undefined => (text !== undefined && /^\d+$/.test(text) ? Number(text) : text)

/**
 * Which lines are meant is decided here, and the library computes their values. Its own choice of lines would run programs
 * (Match exec, and nslookup for CanonicalizeHostname), and its patterns are not quite those of ssh.
 */
function valuesOf(name: string, { blocksFor }: SshBlocks): SshValues {
  const lines: Directive[] = []
  let hostName: string | undefined
  let proxy: string | undefined
  for (const block of blocksFor(name)) {
    if (!block.conditions.every((condition) => holds(condition, name, hostName ?? name))) continue
    for (const line of block.lines) {
      const keyword = line.param.toLowerCase()
      if (keyword === 'hostname') hostName ??= expandHostName(valueText(line), name)
      // Whichever of the two comes first, also as "none", shuts the other out.
      if (/^proxy/.test(keyword) && keyword !== (proxy ??= keyword)) continue
      lines.push(line)
    }
  }
  const config = new SSHConfig()
  for (const line of lines) config.push(line)
  return named(config.compute(name, { ignoreCase: true, matchExec: false }), hostName ?? name)
}

function named(computed: Readonly<Record<string, string | readonly string[]>>, hostName: string): SshValues {
  const one = (key: string): string | undefined => {
    const value = computed[key]
    return value === undefined ? undefined : unquoted(typeof value === 'string' ? value : value.join(' '))
  }
  const unlessNone = (key: string): string | undefined => (one(key)?.toLowerCase() === 'none' ? undefined : one(key))
  const files = computed['identityfile']
  return {
    hostName: hostName.toLowerCase(),
    port: one('port'),
    user: one('user'),
    identityFiles: files === undefined ? undefined : [files].flat().map(unquoted),
    proxyJump: unlessNone('proxyjump'),
    proxyCommand: unlessNone('proxycommand'),
    hostKeyAlias: one('hostkeyalias'),
  }
}

const valueText = ({ value }: Directive): string => unquoted(typeof value === 'string' ? value : value.map(({ val }) => val).join(' '))

/** ssh takes single quotes and a backslash before a space too; the library leaves both as they are. */
function unquoted(text: string): string {
  return /^'[^']*'$/.test(text) ? text.slice(1, -1) : text.replaceAll(/\\([\\' ])/g, '$1')
}

function expandHostName(text: string, name: string): string {
  return expandTokens(text, { h: name }) ?? text
}

/** Undefined where it has a token that is not known here. */
function expandTokens(text: string, tokens: Readonly<Record<string, string>>): string | undefined {
  const known = new Map([...Object.entries(tokens), ['%', '%']])
  const letters = [...text.matchAll(/%(.?)/gs)].map(([, letter = '']) => letter)
  if (letters.some((letter) => !known.has(letter))) return undefined
  return text.replaceAll(/%(.)/gs, (_, letter: string) => known.get(letter) ?? '')
}

/** The first that is there; ssh passes over the others as well. */
async function identityFile(alias: string, values: SshValues, { around, notices }: Importing): Promise<string | undefined> {
  const { identityFiles = [] } = values
  for (const written of identityFiles) {
    if (written.toLowerCase() === 'none') return undefined
    const path = identityPath(written, alias, values, around)
    if (path === undefined) notices.add('an IdentityFile with a token, a variable or a home that is not known here is left out', alias)
    else if (await around.exists(path)) return path.startsWith(`${around.home}/`) ? `~${path.slice(around.home.length)}` : path
    else notices.add(`the IdentityFile ${written} is not there and was left out`, alias)
  }
  return undefined
}

function identityPath(written: string, alias: string, values: SshValues, { home, osUser }: SshSurroundings): string | undefined {
  const { hostName, port = '22', user = osUser } = values
  if (written.includes('${') || /^~[^/]/.test(written)) return undefined
  return expandTokens(written.replace(/^~/, home), { d: home, h: hostName, n: alias, p: port, r: user, u: osUser })
}

/** A way that no `jump` can say, so that it is left to ssh. */
const BEYOND_US = 'beyond us'

function jumpOf(alias: string, values: SshValues, importing: Importing): readonly Hop[] | typeof BEYOND_US {
  const { notices } = importing
  if (values.proxyCommand !== undefined) {
    notices.add('its ProxyCommand is kept by ssh_config: the ssh of this machine runs it', alias)
    return BEYOND_US
  }
  const hops = values.proxyJump === undefined ? [] : splitHops(values.proxyJump)
  if (hops.length === 1 && hops[0]?.name === alias) {
    notices.add('its ProxyJump leads to itself and is left out', alias)
    return []
  }
  const jump = hops.map((hop, index) => hop && importHop(hop, { isFirst: index === 0, values }, importing))
  // What has a token means another thing for each host.
  const isSaid = values.proxyJump?.includes('%') !== true && jump.every((hop) => hop !== undefined && isJump(hop.address ?? ''))
  if (isSaid) return jump.filter((hop) => hop !== undefined)
  notices.add('its ProxyJump says what a jump cannot, and is kept by ssh_config: the ssh of this machine goes that way', alias)
  return BEYOND_US
}

/** ssh reads the same configuration for a hop. Undefined where its own way would be lost. */
function importHop(hop: HopParts, of: { isFirst: boolean; values: SshValues }, { read, around }: Importing): Hop | undefined {
  const its = valuesOf(hop.name, read)
  const isAsWritten = (hop.login ?? its.user) === its.user && (hop.port === undefined || hop.port === Number(its.port ?? 22))
  const isAlias = read.aliases.has(hop.name) && isAsWritten
  // One that leads to itself is no way at all.
  const isJumping = its.proxyJump !== undefined && splitHops(its.proxyJump)[0]?.name !== hop.name
  const isIndirect = isJumping || its.proxyCommand !== undefined
  if (!isAlias && of.isFirst && isIndirect) return undefined
  // Without a login of its own Remex takes that of the host behind it, and ssh that of the user.
  const login = hop.login ?? its.user ?? (of.values.user === undefined ? undefined : around.osUser)
  const port = hop.port ?? Number(its.port ?? 22)
  const address = hopAddress({ login, name: isIPv6(hop.name) ? hop.name : its.hostName, port })
  return { id: isAlias ? hop.name : undefined, address }
}
