import type { PolicyRequest, Rule } from '../../src/policy/decide.ts'

const ANY: Rule = { effect: 'allow', users: [], speaksFor: [], hosts: [], operations: [], commands: [], shell: false, approvers: [], expiresMs: 3_600_000 }

/** A rule that allows everything, but for what is given. */
export const rule = (facts: Partial<Rule>): Rule => ({ ...ANY, ...facts })

/** Alice wants to run `uptime` on vm01 of the lab, but for what is given. */
export const request = (facts: Partial<PolicyRequest>): PolicyRequest => ({
  user: 'alice',
  osUser: 'alice',
  vmId: 'vm01',
  operation: 'run',
  words: facts.shellText === undefined ? ['uptime'] : undefined,
  matchesHost: (expression) => expression === 'vm01' || expression === '@lab',
  ...facts,
})
