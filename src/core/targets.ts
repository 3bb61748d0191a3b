import { remexError, type RemexError } from './errors.ts'
import { nearest } from './nearest.ts'
import { printable } from './printable.ts'
import { parseTargets, showTargets, type TargetPart, type TargetSet } from './target-expression.ts'

/** What target expressions know of a host. */
export interface TargetHost {
  readonly id: string
  /** Also a group name; empty: none. */
  readonly role: string
  readonly groups: readonly string[]
  /** Only usable hosts are selected. */
  readonly state: 'usable' | 'disabled' | 'not_allowed'
}

/** The hosts of an expression. */
export interface Selection {
  /** At least one; in the order of the configuration, each once. */
  readonly ids: readonly string[]
  /** Hosts of a group or of `all` that may not be used, with the reason in words. */
  readonly leftOut: readonly { readonly id: string; readonly reason: string }[]
}

const REASONS = { disabled: 'disabled in the configuration', not_allowed: 'not in allowed_vm_ids' } as const
/** How many names a message lists. */
const LISTED = 5

interface Roster {
  readonly byId: ReadonlyMap<string, TargetHost>
  /** Ids by group or role. */
  readonly groups: ReadonlyMap<string, ReadonlySet<string>>
}

/**
 * The hosts that a target expression selects; several expressions count as one, joined by commas.
 * Throws `USAGE` for a syntax error (naming the character) and for an expression that selects nothing,
 * `HOST_UNKNOWN` for a host or group that is not there (also in an exclusion),
 * `HOST_NOT_ALLOWED` for a host that is named, itself or by a range, but disabled or not allowed.
 */
export function selectTargets(expression: string | readonly string[], hosts: readonly TargetHost[]): Selection {
  const text = joined(expression)
  const parts = parseTargets(text)
  const selected = resolveParts(parts, rosterOf(hosts))
  const chosen = hosts.filter((host) => selected.has(host.id))
  refuseNamed(parts, chosen)
  const ids = chosen.filter((host) => host.state === 'usable').map((host) => host.id)
  const leftOut = chosen.flatMap(({ id, state }) => (state === 'usable' ? [] : [{ id, reason: REASONS[state] }]))
  if (ids.length === 0) throw nothingSelected(text, leftOut)
  return { ids, leftOut }
}

/**
 * The ids that an expression stands for, whatever their state; may be empty. For rules about hosts, as in a policy.
 * Throws `USAGE` for a syntax error and `HOST_UNKNOWN` for a host or group that is not there.
 */
export function resolveTargets(expression: string | readonly string[], hosts: readonly TargetHost[]): ReadonlySet<string> {
  return resolveParts(parseTargets(joined(expression)), rosterOf(hosts))
}

/** Throws `USAGE` for what gets past the types. */
function joined(expression: string | readonly string[]): string {
  const parts: readonly unknown[] = typeof expression === 'string' ? [expression] : Array.isArray(expression) ? expression : [undefined]
  if (parts.every((part) => typeof part === 'string')) return parts.join(',')
  throw remexError('USAGE', 'targets are a text, or a list of texts')
}

function rosterOf(hosts: readonly TargetHost[]): Roster {
  const groups = new Map<string, Set<string>>()
  for (const host of hosts) {
    for (const name of [host.role, ...host.groups]) {
      if (name === '') continue
      const members = groups.get(name)
      if (members) members.add(host.id)
      else groups.set(name, new Set([host.id]))
    }
  }
  return { byId: new Map(hosts.map((host) => [host.id, host])), groups }
}

function resolveParts(parts: readonly TargetPart[], roster: Roster): ReadonlySet<string> {
  const selected = new Set<string>()
  // Only exclusions: they are taken out of everything.
  const included = parts.some((part) => !part.excluded) ? parts.filter((part) => !part.excluded) : [{ sets: [{ kind: 'all' as const }] }]
  for (const part of included) for (const id of intersection(part.sets, roster)) selected.add(id)
  for (const part of parts) if (part.excluded) for (const id of intersection(part.sets, roster)) selected.delete(id)
  return selected
}

function intersection(sets: readonly TargetSet[], roster: Roster): string[] {
  const [first = new Set<string>(), ...others] = sets.map((set) => members(set, roster))
  return [...first].filter((id) => others.every((other) => other.has(id)))
}

function members(set: TargetSet, roster: Roster): ReadonlySet<string> {
  if (set.kind === 'all') return new Set(roster.byId.keys())
  if (set.kind === 'group') return roster.groups.get(set.name) ?? fail(unknownGroup(set.name, roster))
  const unknown = set.ids.filter((id) => !roster.byId.has(id))
  if (unknown.length > 0) throw unknownHosts(unknown, roster)
  return new Set(set.ids)
}

function refuseNamed(parts: readonly TargetPart[], chosen: readonly TargetHost[]): void {
  const sets = parts.flatMap((part) => (part.excluded ? [] : part.sets))
  const named = new Set(sets.flatMap((set) => (set.kind === 'ids' ? set.ids : [])))
  const refused = chosen.flatMap(({ id, state }) => (state !== 'usable' && named.has(id) ? [{ id, reason: REASONS[state] }] : []))
  if (refused.length === 0) return
  throw remexError('HOST_NOT_ALLOWED', listed(refused.map(({ id, reason }) => `${id} is ${reason}`)), {
    hint: refused.some(({ reason }) => reason === REASONS.disabled)
      ? 'Set enabled: true for it in the configuration, or exclude it: !<host>'
      : 'Add it to allowed_vm_ids in the configuration, or exclude it: !<host>',
    ...(refused.length === 1 ? { vmId: refused[0]?.id } : {}),
  })
}

function unknownHosts(unknown: readonly string[], roster: Roster): RemexError {
  const [first = ''] = unknown
  const meant = roster.groups.has(first) ? `@${first}` : nearest(first, roster.byId.keys())
  return remexError('HOST_UNKNOWN', `${listed(unknown.map(quoted))}: no such host in the configuration`, {
    ...(meant === undefined ? {} : { hint: `Did you mean ${printable(meant)}? See which there are: remex hosts list` }),
    ...(unknown.length === 1 ? { vmId: first } : {}),
  })
}

function unknownGroup(name: string, roster: Roster): RemexError {
  const near = nearest(name, roster.groups.keys())
  const meant = name === 'all' || roster.byId.has(name) ? name : near && `@${near}`
  return remexError('HOST_UNKNOWN', `${quoted(`@${name}`)}: no host has this group or role`, {
    ...(meant === undefined ? {} : { hint: `Did you mean ${printable(meant)}? See which there are: remex hosts list` }),
  })
}

function nothingSelected(text: string, leftOut: Selection['leftOut']): RemexError {
  const why = leftOut.length === 0 ? '' : `: ${listed(leftOut.map(({ id, reason }) => `${id} is ${reason}`))}`
  return remexError('USAGE', `targets ${showTargets(text)} select no host${why}`, { hint: 'See which there are: remex hosts list' })
}

const quoted = (name: string): string => printable(name.length > 80 ? `${name.slice(0, 79)}…` : name)

function listed(items: readonly string[]): string {
  const rest = items.length - LISTED
  return items.slice(0, LISTED).join(', ') + (rest > 0 ? ` and ${rest} more` : '')
}

function fail(error: RemexError): never {
  throw error
}
