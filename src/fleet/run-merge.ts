import type { RemexError } from '../core/errors.ts'
import type { RunInfo, RunState } from '../core/run-info.ts'
import type { RunFactsOnHost } from '../session/durable/facts.ts'
import type { RunNote } from './registry.ts'

/** What a host told of its runs, or why it could not be asked. */
export type HostFacts = ReadonlyMap<string, RunFactsOnHost> | RemexError

interface Sources {
  readonly runId: string
  readonly vmId: string
  readonly note: RunNote | undefined
  readonly facts: HostFacts
}

/** One run, by what our note and its host know. */
export function mergedInfo({ runId, vmId, note, facts }: Sources): RunInfo {
  const host = facts instanceof Error ? undefined : facts.get(runId)
  const state = stateOf(host, { note, facts })
  return {
    runId,
    vmId,
    state,
    evidence: evidence(host, { note, facts }),
    command: note?.command ?? host?.command ?? '',
    user: note?.user ?? null,
    startedAt: note?.startedAt ?? (host?.begunAt === undefined ? null : new Date(host.begunAt * 1000).toISOString()),
    exitCode: host?.ended?.exitCode ?? (host ? null : (note?.exitCode ?? null)),
    signal: host?.ended?.signal ?? null,
    stdoutBytes: host?.stdoutBytes ?? 0,
    stderrBytes: host?.stderrBytes ?? 0,
    cut: host?.cut ?? false,
    known: host ? (note ? 'both' : 'host') : 'registry',
  }
}

function stateOf(host: RunFactsOnHost | undefined, { note, facts }: Pick<Sources, 'note' | 'facts'>): RunState {
  if (host) {
    if (host.ended) return host.ended.kind
    if (host.state === 'running' || host.state === 'starting') return 'running'
    return host.state === 'unbegun' ? 'not_started' : 'lost'
  }
  if (note?.ended) return note.ended
  return facts instanceof Error ? 'unreachable' : 'lost'
}

function evidence(host: RunFactsOnHost | undefined, { note, facts }: Pick<Sources, 'note' | 'facts'>): string {
  if (host) return host.evidence
  const seen = note?.ended ? 'we saw it end; ' : ''
  return seen + (facts instanceof Error ? `its host cannot be asked: ${facts.message}` : 'its host does not keep it (any more)')
}
