import type { Command } from 'commander'
import type { Start } from './door.ts'

/** Gives a command its arguments, options, help and action. */
export type Define = (command: Command, start: Start) => void

/** A command of the command line. Its definition is loaded when it is asked for. */
export interface CommandEntry {
  readonly name: string
  readonly summary: string
  readonly load: () => Promise<Define>
}

/** All commands, in the order of the help. */
export const CATALOGUE: readonly CommandEntry[] = [
  { name: 'run', summary: 'run a command', load: async () => (await import('./commands/run.ts')).defineRun },
  { name: 'script', summary: 'run a script', load: async () => (await import('./commands/script.ts')).defineScript },
  { name: 'put', summary: 'send a file', load: async () => (await import('./commands/put.ts')).definePut },
  { name: 'get', summary: 'fetch a file', load: async () => (await import('./commands/get.ts')).defineGet },
  { name: 'runs', summary: 'durable runs: list, show, attach, cancel, prune', load: async () => (await import('./commands/runs.ts')).defineRuns },
  { name: 'hosts', summary: 'the hosts of the configuration: list, check, trust, rotate, forget', load: async () => (await import('./commands/hosts.ts')).defineHosts },
  { name: 'keys', summary: 'the keys by which hosts are opened: setup, status, rotate, revoke, harden, prune', load: async () => (await import('./commands/keys.ts')).defineKeys },
  { name: 'approve', summary: 'approve what a rule of the policy asks a second person for; see what waits', load: async () => (await import('./commands/approve.ts')).defineApprove },
  { name: 'policy', summary: 'the policy: test', load: async () => (await import('./commands/policy.ts')).definePolicy },
  { name: 'audit', summary: 'the audit log: list, show, export, verify, anchor, public-key', load: async () => (await import('./commands/audit.ts')).defineAudit },
  { name: 'config', summary: 'the configuration: check, show, schema', load: async () => (await import('./commands/config.ts')).defineConfig },
  { name: 'init', summary: 'write a configuration file to begin with', load: async () => (await import('./commands/init.ts')).defineInit },
  { name: 'doctor', summary: 'say what is wrong and what to type about it; changes nothing', load: async () => (await import('./commands/doctor.ts')).defineDoctor },
  { name: 'selftest', summary: 'try the main job on the real hosts', load: async () => (await import('./commands/selftest.ts')).defineSelftest },
  { name: 'demo', summary: 'show the main job on four servers of its own', load: async () => (await import('./commands/demo.ts')).defineDemo },
  { name: 'test', summary: 'run all tests (in a checkout: ./remex test)', load: async () => (await import('./commands/checkout.ts')).defineCheckoutOnly },
  { name: 'bench', summary: 'measure (in a checkout: ./remex bench)', load: async () => (await import('./commands/checkout.ts')).defineCheckoutOnly },
]
