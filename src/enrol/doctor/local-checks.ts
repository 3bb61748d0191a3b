import { hostState } from '../../config/target-hosts.ts'
import type { Config, HostConfig, Settings } from '../../config/types.ts'
import type { RemexError } from '../../core/errors.ts'
import { HostKeyStore } from '../../keys/known-hosts.ts'
import { auditChecks } from './audit-checks.ts'
import { certificatesCheck } from './certificate-checks.ts'
import { about, failed, failedBy, LOCAL_CHECKS, ok, skipped, warning, type Finding, type Judgement } from './finding.ts'
import { keysCheck, keyStoreCheck } from './key-checks.ts'
import { lookAtKeys, type KeyLook } from './key-looks.ts'
import { hasAuthority, knownHostsChecks } from './known-hosts-checks.ts'
import { sshCheck, type AskSsh, type SshNeeds } from './ssh-check.ts'

/** What the checks of this machine are made with. */
export interface LocalSurroundings {
  readonly env: NodeJS.ProcessEnv
  readonly nowMs: number
  /** Without a `v`: `20.19.0`. */
  readonly nodeVersion: string
  /** Undefined: the `ssh` of this machine is not asked what it can do. */
  readonly askSsh?: AskSsh | undefined
}

/** All checks of this machine, for these hosts. */
export async function localChecks(config: Config, hosts: readonly HostConfig[], { env, nowMs, nodeVersion, askSsh }: LocalSurroundings): Promise<readonly Judgement[]> {
  const { settings } = config
  const store = await keyStoreCheck(settings, hosts)
  const reachable = store.status === 'failed' ? hosts.filter(({ identityFile }) => identityFile !== undefined) : hosts
  const looks = await lookAtKeys({ settings, env, nowMs }, reachable)
  const knownHosts = HostKeyStore.load(settings.knownHostsPaths)
  const needs = await sshNeeds(settings, hosts, { looks, knownHosts })
  return [
    nodeCheck(nodeVersion),
    configurationCheck(config),
    await sshCheck(askSsh, needs),
    store,
    ...(looks.length === 0 ? [skipped('keys', hosts.length === 0 ? 'there is no host to have one' : 'the key store cannot be used')] : keysCheck(settings, looks)),
    ...certificatesCheck(looks, nowMs),
    ...(await knownHostsChecks(settings.knownHostsPaths, hosts, knownHosts)),
    ...(await auditChecks(settings.auditPath, nowMs, settings.auditRetentionDays)),
  ]
}

/** Of a host whose keys or known_hosts files cannot be read, the configuration tells. */
async function sshNeeds(settings: Settings, hosts: readonly HostConfig[], { looks, knownHosts }: { readonly looks: readonly KeyLook[]; readonly knownHosts: Promise<HostKeyStore> }): Promise<readonly SshNeeds[]> {
  const identities = new Map(looks.map((look) => [look.host.id, look.identities]))
  const store = await knownHosts.catch(() => undefined)
  return hosts.map((host) => ({ host, settings, identities: identities.get(host.id) ?? [], hasAuthority: store !== undefined && hasAuthority(host, store) }))
}

/** What there is to say where there is no configuration to go by: `error` says why. */
export function unconfigured(error: RemexError, nodeVersion: string = process.versions.node): readonly Finding[] {
  const rest = [...LOCAL_CHECKS.filter((check) => check !== 'node' && check !== 'configuration'), 'hosts'] as const
  return about(undefined, [nodeCheck(nodeVersion), failedBy('configuration', error), ...rest.map((check) => skipped(check, 'there is no configuration to go by'))])
}

const OLDEST_NODE = [20, 19] as const

function nodeCheck(version: string): Judgement {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [wantedMajor, wantedMinor] = OLDEST_NODE
  if (major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)) return ok('node', `Node.js ${version}`)
  return failed('node', `Node.js ${version} is too old`, `Install Node.js ${OLDEST_NODE.join('.')} or newer, then: node --version`)
}

function configurationCheck(config: Config): Judgement {
  const path = config.path ?? 'given as an object'
  const hosts = [...config.hosts.values()]
  const usable = hosts.filter((host) => hostState(config, host) === 'usable').length
  const policy = config.policy ? `${config.policy.rules.length} policy rules` : 'no policy'
  const message = `${path}: ${hosts.length} hosts, ${usable} of them usable, ${policy}`
  return usable > 0 ? ok('configuration', message) : warning('configuration', message, 'Enter hosts under vms:, or enable them, then: remex config check')
}
