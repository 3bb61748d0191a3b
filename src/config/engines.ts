import type { Problem } from './problems.ts'
import type { RawSettings, RawVm, RawVms } from './schema.ts'

/** Where a host is asked to be served by `ssh2` and for what that engine cannot do: it must not look as if it were kept. */
export function wrongEngines(vms: RawVms, settings: RawSettings): Problem[] {
  const hosts = Object.entries(vms).filter(([, { engine = settings.engine }]) => engine === 'ssh2')
  return [...hosts.flatMap(([id, vm]) => unknownToSsh2(id, vm)), ...withoutPostQuantum(hosts, settings)]
}

const NOT_SSH2 = 'only the engine openssh knows it, and this host has engine: ssh2; expected engine: auto or openssh beside it'

function unknownToSsh2(id: string, { ssh_config: sshConfig = false, identity_certificate: certificate }: RawVm): Problem[] {
  const keys = [...(sshConfig === false ? [] : ['ssh_config']), ...(certificate === undefined ? [] : ['identity_certificate'])]
  return keys.map((key) => ({ path: ['vms', id, key], isKey: true, what: NOT_SSH2 }))
}

const NOT_QUANTUM = 'engine: ssh2 has no key exchange that resists quantum computers, and require_post_quantum is true; expected auto or openssh'

/** Said once of the engine of `remote_execution`, however many hosts take it from there. */
function withoutPostQuantum(hosts: readonly (readonly [string, RawVm])[], { require_post_quantum: isRequired = false }: RawSettings): Problem[] {
  if (!isRequired) return []
  const own = hosts.filter(([, { engine }]) => engine !== undefined).map(([id]) => ['vms', id, 'engine'])
  const shared = own.length < hosts.length ? [['remote_execution', 'engine']] : []
  return [...own, ...shared].map((path) => ({ path, what: NOT_QUANTUM }))
}
