import { describe, expect, it } from 'vitest'
import { decide, type PolicyRequest, type Rule } from '../../src/policy/decide.ts'
import { request, rule } from './rules.ts'

/** A value of a dimension: what the rule says, and whether a request that is told here is within it. */
type Side<F> = readonly [name: string, facts: F]

const WHO: readonly Side<Pick<PolicyRequest, 'user' | 'osUser'>>[] = [
  ['alice', { user: 'alice', osUser: 'alice' }],
  ['alice for bob', { user: 'bob', osUser: 'alice' }],
  ['mallory as alice', { user: 'alice', osUser: 'mallory' }],
]

const WHAT: readonly Side<Partial<PolicyRequest>>[] = [
  ['a command', { operation: 'run', words: ['df', '-h'] }],
  ['another command', { operation: 'run', words: ['df', '-h', '/'] }],
  ['shell text', { operation: 'run', words: undefined, shellText: 'df -h' }],
  ['an upload', { operation: 'upload', words: undefined }],
]

const EFFECTS = ['allow', 'deny', 'ask'] as const
const NAMED: readonly Side<Partial<Rule>>[] = [['anybody', {}], ['alice', { users: ['alice'] }]]
const SPOKEN: readonly Side<Partial<Rule>>[] = [['nobody', {}], ['bob', { speaksFor: ['bob'] }], ['anybody', { speaksFor: '*' }]]
const ABOUT: readonly Side<Partial<Rule>>[] = [
  ['everything', {}],
  ['df -h', { commands: [['df', '-h']] }],
  ['shell text', { shell: true }],
  ['uploads', { operations: ['upload'] }],
  ['other hosts', { hosts: ['vm02'] }],
]

/**
 * What is expected, told as a list of refusals in the words of the documentation, and not as the program computes it: undefined where
 * the rule says nothing of the request.
 */
function expected(effect: Rule['effect'], { who, named, spoken, what, about }: Record<'who' | 'named' | 'spoken' | 'what' | 'about', string>): Rule['effect'] | undefined {
  if (about === 'other hosts') return undefined
  const covers: Record<string, readonly string[]> = {
    everything: effect === 'allow' ? ['a command', 'another command', 'an upload'] : ['a command', 'another command', 'shell text', 'an upload'],
    'df -h': ['a command'],
    'shell text': ['a command', 'another command', 'shell text', 'an upload'],
    uploads: ['an upload'],
  }
  if (!covers[about]?.includes(what)) return undefined
  if (effect === 'deny') return named === 'anybody' || who.includes('alice') ? 'deny' : undefined
  if (who === 'mallory as alice' && named === 'alice') return undefined
  if (who !== 'alice' && spoken === 'nobody') return effect === 'ask' ? 'deny' : undefined
  if (who === 'mallory as alice' && spoken === 'bob') return undefined
  return effect === 'ask' && what === 'shell text' && about !== 'shell text' ? 'deny' : effect
}

const cases = EFFECTS.flatMap((effect) => WHO.flatMap(([who, person]) => NAMED.flatMap(([named, users]) => SPOKEN.flatMap(([spoken, speaks]) =>
  ABOUT.flatMap(([about, rest]) => WHAT.map(([what, thing]) => ({
    sentence: `a rule that says ${effect} of ${about}, for ${named} who may speak for ${spoken}, to ${who} with ${what}`,
    one: rule({ effect, ...users, ...speaks, ...rest }),
    asked: request({ ...person, ...thing }),
    says: expected(effect, { who, named, spoken, what, about }),
  })))))))

describe('the table of the policy', () => {
  it('has hundreds of cases, and every answer is among them', () => {
    expect(cases.length).toBeGreaterThanOrEqual(1000)
    for (const says of ['allow', 'deny', 'ask', undefined]) expect(cases.filter((one) => one.says === says).length).toBeGreaterThan(20)
  })

  // In blocks: a thousand sentences of one line each are read by nobody.
  it.each(EFFECTS)('holds for every rule that says %s: alone, before one that allows all, and before one that denies all', (effect) => {
    const wrong = cases.filter(({ one }) => one.effect === effect).flatMap(({ sentence, one, asked, says }) => {
      const all = { speaksFor: '*', shell: true } as const
      const answers = [[one], [one, rule(all)], [one, rule({ ...all, effect: 'deny' })]].map((rules) => decide({ rules }, asked).effect)
      const right = [says ?? 'deny', says ?? 'allow', says ?? 'deny']
      return JSON.stringify(answers) === JSON.stringify(right) ? [] : [`${sentence}: ${answers.join(', ')} in place of ${right.join(', ')}`]
    })
    expect(wrong).toEqual([])
  })

  it.each(EFFECTS)('holds for a rule that says %s after one that passes: the first that matches decides', (effect) => {
    for (const { one, asked, says } of cases.filter((each) => each.one.effect === effect)) {
      const decision = decide({ rules: [rule({ users: ['nobody-else'] }), one] }, asked)
      expect([decision.effect, decision.rule]).toEqual([says ?? 'deny', says === undefined ? undefined : 2])
      expect(decision.passedOver.map(({ rule: number }) => number)).toEqual(says === undefined ? [1, 2] : [1])
    }
  })
})
