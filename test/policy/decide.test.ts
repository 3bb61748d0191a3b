import { describe, expect, it } from 'vitest'
import { decide, maySpeakFor, type PolicyRequest, type Rule } from '../../src/policy/decide.ts'
import { request, rule } from './rules.ts'

const status = rule({ commands: [['systemctl', 'status', '*']] })
const shell = { shellText: 'uptime; id' }

describe('decide', () => {
  it('allows everything where there is no policy', () => {
    expect(decide(undefined, request({ operation: 'upload' }))).toEqual({ effect: 'allow', rule: undefined, reason: 'there is no policy', passedOver: [] })
  })

  it('denies everything where the policy has no rules', () => {
    expect(decide({ rules: [] }, request({}))).toEqual({ effect: 'deny', rule: undefined, reason: 'no rule of the policy allows it', passedOver: [] })
  })

  /** Sentence, rules, request, and what is decided by which rule. */
  type Case = readonly [string, readonly Partial<Rule>[], Partial<PolicyRequest>, Rule['effect'], number | undefined]
  const decisions: readonly Case[] = [
    ['allows what a rule without conditions allows', [{}], {}, 'allow', 1],
    ['lets the first rule that matches decide: deny before allow', [{ effect: 'deny' }, {}], {}, 'deny', 1],
    ['lets the first rule that matches decide: allow before deny', [{}, { effect: 'deny' }], {}, 'allow', 1],
    ['goes on after a rule that does not match', [{ effect: 'deny', users: ['bob'] }, {}], {}, 'allow', 2],
    ['denies what no rule matches', [{ users: ['bob'] }], {}, 'deny', undefined],
    ['matches users exactly', [{ users: ['Alice', 'alic', 'alice2'] }], {}, 'deny', undefined],
    ['does not read * as any user', [{ users: ['*'] }], {}, 'deny', undefined],
    [
      'matches the operating system’s user, not the name that was given',
      [{ users: ['alice'] }],
      { user: 'alice', osUser: 'mallory' },
      'deny',
      undefined,
    ],
    ['does not let a user speak for another', [{ users: ['alice'] }], { user: 'sync', osUser: 'alice' }, 'deny', undefined],
    ['lets a user speak for another whom the rule names', [{ users: ['alice'], speaksFor: ['sync'] }], { user: 'sync', osUser: 'alice' }, 'allow', 1],
    ['lets a user speak for anybody where the rule says *', [{ users: ['alice'], speaksFor: '*' }], { user: 'sync', osUser: 'alice' }, 'allow', 1],
    ['does not read * in a list as anybody', [{ speaksFor: ['*'] }], { user: 'sync', osUser: 'alice' }, 'deny', undefined],
    ['does not let another user speak', [{ users: ['bob'], speaksFor: '*' }], { user: 'bob', osUser: 'alice' }, 'deny', undefined],
    ['does not take speaks_for of one rule for another', [{ users: ['alice'] }, { operations: ['upload'], speaksFor: '*' }], { user: 'bob', osUser: 'alice' }, 'deny', undefined],
    ['goes on after a rule that does not let the user speak', [{}, { speaksFor: '*' }], { user: 'bob', osUser: 'alice' }, 'allow', 2],
    ['goes on after a rule that asks when others are spoken for', [{ effect: 'ask', speaksFor: ['carol'] }, { speaksFor: '*' }], { user: 'bob', osUser: 'alice' }, 'allow', 2],
    ['lets no label slip past a rule that asks, whoever is spoken for', [{ effect: 'ask' }, { speaksFor: '*' }], { user: 'bob', osUser: 'alice' }, 'deny', 1],
    ['asks where the rule lets the user speak', [{ effect: 'ask', speaksFor: ['bob'] }], { user: 'bob', osUser: 'alice' }, 'ask', 1],
    ['needs no speaks_for for one’s own name', [{ speaksFor: ['bob'] }], {}, 'allow', 1],
    ['denies by the operating system’s user, whatever the label', [{ effect: 'deny', users: ['alice'] }, { speaksFor: '*' }], { user: 'bob', osUser: 'alice' }, 'deny', 1],
    ['denies by the label, whoever gives it', [{ effect: 'deny', users: ['bob'] }, { speaksFor: '*' }], { user: 'bob', osUser: 'alice' }, 'deny', 1],
    ['denies whatever the label where the rule names nobody', [{ effect: 'deny' }, { speaksFor: '*' }], { user: 'bob', osUser: 'alice' }, 'deny', 1],
    ['allows on a host of the expression', [{ hosts: ['@db', '@lab'] }], {}, 'allow', 1],
    ['denies on another host', [{ hosts: ['@db', 'vm02'] }], {}, 'deny', undefined],
    ['allows an operation that is named', [{ operations: ['upload'] }], { operation: 'upload' }, 'allow', 1],
    ['denies an operation that is not named', [{ operations: ['upload', 'run'] }], { operation: 'download' }, 'deny', undefined],
    ['covers every operation where none is named', [{}], { operation: 'key_rotate', words: undefined }, 'allow', 1],
    ['allows a command of the list', [status], { words: ['systemctl', 'status', 'nginx'] }, 'allow', 1],
    ['denies a command with another word', [status], { words: ['systemctl', 'restart', 'nginx'] }, 'deny', undefined],
    ['denies a command with a word too many', [status], { words: ['systemctl', 'status', 'nginx', '--now'] }, 'deny', undefined],
    ['denies a command with a word too few', [status], { words: ['systemctl', 'status'] }, 'deny', undefined],
    [
      'does not take * for a part of a word',
      [{ commands: [['systemctl', 'stat*']] }],
      { words: ['systemctl', 'status'] },
      'deny',
      undefined,
    ],
    ['lets * stand for an empty word', [status], { words: ['systemctl', 'status', ''] }, 'allow', 1],
    ['lets a final ** stand for any number of words', [{ commands: [['df', '**']] }], { words: ['df', '-h', '/'] }, 'allow', 1],
    ['lets a final ** stand for no word', [{ commands: [['df', '**']] }], { words: ['df'] }, 'allow', 1],
    ['takes ** elsewhere as itself', [{ commands: [['**', 'df']] }], { words: ['rm', 'df'] }, 'deny', undefined],
    ['denies an empty command, whatever the rules', [{}, { commands: [['**']] }], { words: [] }, 'deny', undefined],
    ['denies a run without a command, whatever the rules', [{}], { words: undefined }, 'deny', undefined],
    ['denies a command that a rule denies', [{ effect: 'deny', commands: [['rm', '**']] }, {}], { words: ['rm', '-rf', '/'] }, 'deny', 1],
    ['denies shell text under a rule without shell', [{}], shell, 'deny', undefined],
    ['allows shell text under a rule with shell', [{ shell: true }], shell, 'allow', 1],
    ['allows words under a rule with shell', [{ shell: true }], {}, 'allow', 1],
    ['does not match shell text by commands', [{ commands: [['**']] }], shell, 'deny', undefined],
    [
      'does not match shell text by commands, even when it is one word',
      [{ commands: [['uptime']] }],
      { shellText: 'uptime' },
      'deny',
      undefined,
    ],
    ['matches shell text by a rule with commands and shell', [{ commands: [['df']], shell: true }], shell, 'allow', 1],
    [
      'judges shell text as such even when words come with it',
      [{ commands: [['uptime']] }],
      { ...shell, words: ['uptime'] },
      'deny',
      undefined,
    ],
    [
      'denies the shell text of a user whom a rule denies, though the rule does not speak of shell',
      [{ effect: 'deny', users: ['alice'] }, { shell: true }],
      shell,
      'deny',
      1,
    ],
    [
      'does not let a rule that denies some commands decide about shell text',
      [{ effect: 'deny', commands: [['rm', '**']] }, { shell: true }],
      shell,
      'allow',
      2,
    ],
    ['asks for an approval', [{ effect: 'ask' }, {}], {}, 'ask', 1],
    ['asks only for what the rule is about', [{ effect: 'ask', commands: [['reboot']] }, {}], {}, 'allow', 2],
    ['asks for the approval of shell text where the rule says shell', [{ effect: 'ask', shell: true }], shell, 'ask', 1],
    ['does not let a rule that asks for some commands decide about shell text', [{ effect: 'ask', commands: [['rm', '**']] }, { shell: true }], shell, 'allow', 2],
    ['asks for the approval of a transfer', [{ effect: 'ask', operations: ['upload'] }], { operation: 'upload', words: undefined }, 'ask', 1],
    ['denies by a rule before the one that asks', [{ effect: 'deny', users: ['alice'] }, { effect: 'ask' }], {}, 'deny', 1],
    ['denies shell text where a rule without shell asks for an approval, and lets no later rule allow it', [{ effect: 'ask' }, { shell: true }], shell, 'deny', 1],
    [
      'judges the path and arguments of a script',
      [{ commands: [['/opt/x.sh', '*']] }],
      { operation: 'script', words: ['/opt/x.sh', 'a'] },
      'allow',
      1,
    ],
    ['denies another script', [{ commands: [['/opt/x.sh', '*']] }], { operation: 'script', words: ['/opt/y.sh', 'a'] }, 'deny', undefined],
    [
      'denies a script without words where commands are named',
      [{ commands: [['**']] }],
      { operation: 'script', words: undefined },
      'deny',
      undefined,
    ],
    ['does not let commands allow a transfer', [{ commands: [['**']] }], { operation: 'upload', words: undefined }, 'deny', undefined],
    [
      'does not judge a transfer by commands where the operation is named',
      [{ commands: [['df']], operations: ['upload'] }],
      { operation: 'upload', words: undefined },
      'allow',
      1,
    ],
    ['does not need shell for a transfer', [{ operations: ['download'] }], { operation: 'download', words: undefined }, 'allow', 1],
  ]
  it.each(decisions)('%s', (_sentence, ...[rules, facts, effect, decidedBy]) => {
    expect(decide({ rules: rules.map(rule) }, request(facts))).toMatchObject({ effect, rule: decidedBy })
  })

  it('says which rule decided', () => {
    expect(decide({ rules: [status, rule({ effect: 'deny' })] }, request({})).reason).toBe('rule 2 denies it')
  })

  it('says that shell text is not what is approved', () => {
    expect(decide({ rules: [rule({ effect: 'ask' })] }, request(shell)).reason).toBe('rule 1 asks for an approval, but not of shell text')
  })

  it('says who may not speak for whom', () => {
    expect(decide({ rules: [rule({ effect: 'ask' })] }, request({ user: 'bob' })).reason).toBe('rule 1 asks for an approval, and does not let alice speak for bob')
    expect(decide({ rules: [rule({ effect: 'deny', users: ['eve'] }), rule({})] }, request({ user: 'bob', osUser: 'alice' })).reason).toBe('no rule of the policy lets alice speak for bob')
  })

  it('says of every rule before the one that decided why it did not match, of several reasons the first', () => {
    const rules = [{ users: ['bob'] }, { operations: ['upload'] }, { commands: [['df']] }, { hosts: ['vm02'] }, { hosts: ['vm01'] }, { speaksFor: '*' as const }, { effect: 'deny' as const }]
    const decision = decide({ rules: rules.map(rule) }, request({ user: 'carol', osUser: 'alice' }))
    const because = ['user', 'operation', 'command', 'host', 'speaks_for']
    expect(decision).toEqual({ effect: 'allow', rule: 6, reason: 'rule 6 allows it', passedOver: because.map((reason, index) => ({ rule: index + 1, because: reason })) })
    expect(decide({ rules: [rule({ users: ['bob'], hosts: ['vm02'] }), rule({})] }, request(shell)).passedOver).toEqual([{ rule: 1, because: 'user' }, { rule: 2, because: 'shell' }])
  })

  it('says whose name counts when another one was given', () => {
    const { reason } = decide({ rules: [rule({ users: ['alice'] })] }, request({ user: 'alice', osUser: 'mallory' }))
    expect(reason).toMatch(/operating system's user mallory, not about alice/)
  })

  it('passes on what matchesHost throws, so that nothing is allowed by mistake', () => {
    const matchesHost = (): boolean => {
      throw new Error('no such group')
    }
    const rules = [rule({ effect: 'deny', hosts: ['@gone'] }), rule({})]
    expect(() => decide({ rules }, request({ matchesHost }))).toThrow('no such group')
  })
})

describe('maySpeakFor', () => {
  const bob = { ...request({}), user: 'bob', osUser: 'alice' }
  it.each<[string, Partial<Rule>, boolean]>([
    ['is true by a rule that allows', { speaksFor: ['bob'] }, true],
    ['is true by a rule that asks', { effect: 'ask', speaksFor: '*' }, true],
    ['is true whatever the rule is about', { speaksFor: ['bob'], operations: ['upload'], commands: [['df']] }, true],
    ['is false by a rule without it', {}, false],
    ['is false by a rule that denies', { effect: 'deny', speaksFor: '*' }, false],
    ['is false by a rule about other users', { speaksFor: '*', users: ['bob'] }, false],
    ['is false by a rule about other hosts', { speaksFor: '*', hosts: ['vm02'] }, false],
    ['is false for another name', { speaksFor: ['carol'] }, false],
  ])('%s', (_sentence, facts, expected) => {
    expect(maySpeakFor({ rules: [rule(facts)] }, bob)).toBe(expected)
  })
})
