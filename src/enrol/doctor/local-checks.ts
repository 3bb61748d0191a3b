import { hostState } from '../../config/target-hosts.ts'
import type { Config, HostConfig } from '../../config/types.ts'
import type { RemexError } from '../../core/errors.ts'
import { auditChecks } from './audit-checks.ts'
import { about, failed, failedBy, LOCAL_CHECKS, ok, skipped, warning, type Finding, type Judgement } from './finding.ts'
import { keyChecks } from './key-checks.ts'
import { knownHostsChecks } from './known-hosts-checks.ts'

/** What the checks of this machine are made with. */
export interface LocalSurroundings {
  readonly env: NodeJS.ProcessEnv
  readonly nowMs: number
  /** Without a `v`: `20.19.0`. */
  readonly nodeVersion: string
}

/** All checks of this machine, for these hosts. */
export async function localChecks(config: Config, hosts: readonly HostConfig[], { env, nowMs, nodeVersion }: LocalSurroundings): Promise<readonly Judgement[]> {
  const { settings } = config
  return [
    nodeCheck(nodeVersion),
    configurationCheck(config),
    ...(await keyChecks({ settings, env, nowMs }, hosts)),
    ...(await knownHostsChecks(settings.knownHostsPaths, hosts)),
    ...(await auditChecks(settings.auditPath, nowMs)),
  ]
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
