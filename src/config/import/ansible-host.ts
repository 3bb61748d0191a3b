import { VM_ID } from '../schema.ts'
import { isTrue, said, type Said } from './ansible-vars.ts'
import type { InventoryHost, Vars } from './ansible-inventory.ts'
import { readSshArgs } from './ansible-ssh-args.ts'
import { hopAddress, splitHops } from './hop.ts'
import type { Hop, ImportedHost, LeftOut, Notices } from './imported.ts'

/** What of an inventory a host is made of. */
export interface HostFacts {
  readonly host: InventoryHost
  readonly vars: Vars
  /** Names of its groups. */
  readonly groups: readonly string[]
  readonly notices: Notices
  /** The user who runs remex. */
  readonly osUser: string
}

/** Where two names mean the same, Ansible takes the last. */
const ADDRESS = ['ansible_host', 'ansible_ssh_host']
const PORT = ['ansible_port', 'ansible_ssh_port']
const LOGIN = ['ansible_user', 'ansible_ssh_user']
const KEY_FILE = ['ansible_private_key_file', 'ansible_ssh_private_key_file']
/** Of what is given twice ssh takes the first, and Ansible gives it these in this order. */
const SSH_ARGS = ['ansible_ssh_common_args', 'ansible_ssh_extra_args']
const PASSWORDS = ['ansible_password', 'ansible_ssh_pass', 'ansible_ssh_password', 'ansible_become_password', 'ansible_become_pass', 'ansible_sudo_pass']
const OVER_SSH = ['ssh', 'smart', 'paramiko', 'paramiko_ssh', 'ansible.builtin.ssh', 'ansible.builtin.paramiko_ssh', 'ansible.netcommon.libssh']

/** The host in our words; or why it cannot be: without its own address or port, another machine would be meant. */
export function hostOf(facts: HostFacts): ImportedHost | LeftOut {
  const { host, vars, notices } = facts
  const connection = said(vars, ['ansible_connection'])
  const address = said(vars, ADDRESS)
  const port = said(vars, PORT)
  for (const one of [connection, address, port]) if (one.kind === 'unusable') return { name: host.name, reason: `${one.variable} ${one.why}` }
  const kind = connection.kind === 'value' ? String(connection.value) : 'ssh'
  if (!OVER_SSH.includes(kind)) return { name: host.name, reason: `it is not reached by SSH (ansible_connection: ${kind})` }
  for (const name of PASSWORDS) if (vars.has(name)) notices.add(`${name} is not taken over: remex logs in by keys, and sudo asks for no password`, host.name)
  const login = text(said(vars, LOGIN), facts)
  const way = wayOf(login, facts)
  return {
    id: host.name,
    address: address.kind === 'value' ? String(address.value) : host.name,
    port: port.kind === 'value' ? portOf(port.value) : undefined,
    login,
    identityFile: keyFile(facts),
    jump: way.jump,
    groups: groupsOf(facts),
    sudo: sudoOf(facts),
    sshConfig: undefined,
    disabled: way.disabled,
  }
}

function text(one: Said, { host, notices }: HostFacts): string | undefined {
  if (one.kind === 'unusable') notices.add(`${one.variable} ${one.why} and was left out`, host.name)
  return one.kind === 'value' ? String(one.value) : undefined
}

function portOf(value: string | number | boolean): number | string {
  return typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : typeof value === 'boolean' ? String(value) : value
}

function keyFile(facts: HostFacts): string | undefined {
  const path = text(said(facts.vars, KEY_FILE), facts)
  if (path === undefined || !/^~[^/]|\$/.test(path)) return path
  facts.notices.add('its key file has a variable, or a home that is not known here, and was left out', facts.host.name)
  return undefined
}

function sudoOf(facts: HostFacts): boolean | string | undefined {
  const { host, vars, notices } = facts
  const become = said(vars, ['ansible_become'])
  if (become.kind !== 'value') return text(become, facts) === undefined ? undefined : true
  if (!isTrue(become.value)) return undefined
  const method = text(said(vars, ['ansible_become_method']), facts) ?? 'sudo'
  if (!/^(?:ansible\.builtin\.)?sudo$/.test(method)) {
    notices.add('ansible_become is left out: only the method sudo is known', host.name)
    return undefined
  }
  const asked = said(vars, ['ansible_become_user'])
  // As another user than the one that is meant, which may be root, nothing is to run.
  if (asked.kind === 'unusable') {
    notices.add(`ansible_become is left out, for ${asked.variable} ${asked.why}`, host.name)
    return undefined
  }
  const user = asked.kind === 'value' ? String(asked.value) : 'root'
  return user === 'root' ? true : user
}

function groupsOf({ groups, host, notices }: HostFacts): readonly string[] {
  return groups.filter((name) => {
    if (name === 'ungrouped') return false
    if (!VM_ID.test(name)) notices.add(`the group ${name} is left out: a name has letters, digits, ".", "_" and "-"`, host.name)
    return VM_ID.test(name)
  })
}

interface Way {
  readonly jump: readonly Hop[]
  readonly disabled: string | undefined
}

function wayOf(login: string | undefined, facts: HostFacts): Way {
  const { host, vars, notices, osUser } = facts
  const args = SSH_ARGS.flatMap((name) => {
    const given = text(said(vars, [name]), facts)
    return given === undefined ? [] : [{ name, ...readSshArgs(given) }]
  })
  for (const { name, others } of args) if (others.length > 0) notices.add(`of ${name} is left out: ${others.join(', ')}`, host.name)
  const first = args.find(({ jump, hasProxyCommand }) => jump !== undefined || hasProxyCommand)
  if (first?.hasProxyCommand) {
    notices.add('its ProxyCommand cannot be kept, so it is taken over with enabled: false; a jump may do the same', host.name)
    return { jump: [], disabled: 'Ansible reached it by a ProxyCommand; a jump may do the same' }
  }
  // Without a login of its own Remex takes that of the host behind it, and ssh that of the user.
  const asUser = login === undefined ? undefined : osUser
  const jump = (first?.jump === undefined ? [] : splitHops(first.jump)).map((hop): Hop => ({ id: undefined, address: hop && hopAddress({ ...hop, login: hop.login ?? asUser }) }))
  return { jump, disabled: undefined }
}
