import { RemexError } from '../core/errors.ts'
import { nearest } from '../core/nearest.ts'
import { resolveTargets, type TargetHost } from '../core/targets.ts'
import { wrongEngines } from './engines.ts'
import { problemsOf } from './issues.ts'
import { jumpHops } from './jump.ts'
import type { Problem } from './problems.ts'
import { SECTIONS, type RawPolicy, type RawSettings, type RawVms } from './schema.ts'

/** The three sections as they were written, each of the right form. */
export interface RawConfig {
  readonly vms: RawVms
  readonly settings: RawSettings
  readonly policy: RawPolicy | undefined
}

/** The sections of `data`, or everything that is wrong with them. Sections of other programs are not looked at. */
export function checkConfig(data: unknown): { readonly raw: RawConfig } | { readonly problems: readonly Problem[] } {
  if (data === null || data === undefined) return wrong({ path: [], what: 'it is empty; expected a section "vms"' })
  if (typeof data !== 'object' || Array.isArray(data)) return wrong({ path: [], what: 'expected sections, first of all "vms"' })
  const sections = { ...data } as Readonly<Record<string, unknown>>
  const problems = [...misnamedSections(sections), ...droppedHosts(sections.vms)]
  const read = <T>(name: keyof typeof SECTIONS, value: unknown): T | undefined => {
    const result = SECTIONS[name].safeParse(value, { reportInput: true })
    if (!result.success) problems.push(...problemsOf(result.error.issues, [name]))
    return result.success ? (result.data as T) : undefined
  }
  const vms = read<RawVms>('vms', sections.vms)
  // A section of which every line is commented out is null, and means the defaults. An empty policy could mean two things.
  const settings = read<RawSettings>('remote_execution', sections.remote_execution ?? {})
  const policy = 'policy' in sections ? read<RawPolicy>('policy', sections.policy) : undefined
  if (vms) problems.push(...wrongJumps(vms), ...wrongIds(settings, vms), ...wrongTargets(policy, vms))
  problems.push(...misplacedKeys(policy))
  if (vms && settings) problems.push(...wrongEngines(vms, settings))
  return vms && settings && problems.length === 0 ? { raw: { vms, settings, policy } } : { problems }
}

/** The schema passes over a key of this name in silence, and the host would be missing. */
function droppedHosts(vms: unknown): Problem[] {
  if (typeof vms !== 'object' || vms === null || !Object.hasOwn(vms, '__proto__')) return []
  return [{ path: ['vms', '__proto__'], isKey: true, what: 'expected a host id' }]
}

const wrong = (problem: Problem): { problems: Problem[] } => ({ problems: [problem] })

/**
 * A section that is missing while another has nearly its name: with the typo `polciy:` everything would be allowed.
 */
function misnamedSections(sections: Readonly<Record<string, unknown>>): Problem[] {
  const absent = Object.keys(SECTIONS).filter((name) => !(name in sections))
  const others = Object.keys(sections).filter((name) => !(name in SECTIONS))
  return others.flatMap((name) => {
    const meant = name.toLowerCase() === 'policies' && absent.includes('policy') ? 'policy' : nearest(name, absent)
    const isTypo = meant !== undefined && Math.abs(meant.length - name.length) <= 2
    return isTypo ? [{ path: [name], isKey: true, what: `unknown key; did you mean ${meant}?` }] : []
  })
}

function wrongIds(settings: RawSettings | undefined, vms: RawVms): Problem[] {
  return (settings?.allowed_vm_ids ?? []).flatMap((id, index) => {
    if (Object.hasOwn(vms, id)) return []
    return [{ path: ['remote_execution', 'allowed_vm_ids', index], what: noSuchHost(id, vms) }]
  })
}

function noSuchHost(id: string, vms: RawVms): string {
  const meant = nearest(id, Object.keys(vms))
  return `${id} is not a host of this file${meant === undefined ? '' : `; did you mean ${meant}?`}`
}

function wrongJumps(vms: RawVms): Problem[] {
  return Object.entries(vms).flatMap(([id, { jump }]) => {
    const path = ['vms', id, 'jump']
    const unknown = (jump === undefined ? [] : jumpHops(jump)).filter((hop) => !Object.hasOwn(vms, hop) && !looksLikeAddress(hop))
    if (unknown.length > 0) return unknown.map((hop) => ({ path, what: `${noSuchHost(hop, vms)} (an address without dots is written user@host or host:22)` }))
    const way = wayOf(id, vms)
    return new Set(way).size < way.length ? [{ path, what: `the jumps go in a circle: ${way.join(' → ')}` }] : []
  })
}

const looksLikeAddress = (jump: string): boolean => /[@:.]/.test(jump)

/** The hosts from `start` along their jumps, from the near end; ends with one that was there before where they go in a circle. */
function wayOf(start: string, vms: RawVms): string[] {
  const way = [start]
  const seen = new Set(way)
  // Of several hops the last has the others before it; its own jump counts only where it is the only one.
  for (let rest = hopsOf(start, vms); ;) {
    const next = rest.at(-1)
    if (next === undefined || !Object.hasOwn(vms, next)) return way
    way.push(next)
    if (seen.has(next)) return way
    seen.add(next)
    rest = rest.length > 1 ? rest.slice(0, -1) : hopsOf(next, vms)
  }
}

function hopsOf(id: string, vms: RawVms): readonly string[] {
  const jump = vms[id]?.jump
  return jump === undefined ? [] : jumpHops(jump)
}

function wrongTargets(policy: RawPolicy | undefined, vms: RawVms): Problem[] {
  const hosts = Object.entries(vms).map(([id, { role = '', groups = [] }]): TargetHost => ({ id, role, groups, state: 'usable' }))
  return (policy?.rules ?? []).flatMap((rule, ruleIndex) =>
    (rule.hosts ?? []).flatMap((expression, index) => {
      const what = targetProblem(expression, hosts)
      return what === undefined ? [] : [{ path: ['policy', 'rules', ruleIndex, 'hosts', index], what }]
    }),
  )
}

/** Keys that mean nothing beside the effect, which is then hardly the one that was meant. */
function misplacedKeys(policy: RawPolicy | undefined): Problem[] {
  return (policy?.rules ?? []).flatMap((rule, index) => {
    const wrong = [...(rule.effect === 'ask' ? [] : (['approvers', 'expires'] as const)), ...(rule.effect === 'deny' ? (['speaks_for'] as const) : [])]
    return wrong.filter((key) => rule[key] !== undefined).map((key) => ({ path: ['policy', 'rules', index, key], isKey: true, what: `means nothing beside effect: ${rule.effect}` }))
  })
}

function targetProblem(expression: string, hosts: readonly TargetHost[]): string | undefined {
  try {
    resolveTargets(expression, hosts)
    return undefined
  } catch (error) {
    if (error instanceof RemexError) return error.message
    throw error
  }
}
