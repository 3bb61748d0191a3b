import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decide, type PolicyRequest, type Rule } from '../../src/policy/decide.ts'

const ANY: Rule = { effect: 'allow', users: [], hosts: [], operations: [], commands: [], shell: false }
const rule = (facts: Partial<Rule>): Rule => ({ ...ANY, ...facts })

const request = (facts: Partial<PolicyRequest>): PolicyRequest => ({
  user: 'alice',
  osUser: 'alice',
  vmId: 'vm01',
  operation: 'run',
  words: facts.shellText === undefined ? ['uptime'] : undefined,
  matchesHost: (expression) => expression === 'vm01' || expression === '@lab',
  ...facts,
})

const status = rule({ commands: [['systemctl', 'status', '*']] })
const shell = { shellText: 'uptime; id' }

describe('decide', () => {
  it('allows everything where there is no policy', () => {
    expect(decide(undefined, request({ operation: 'upload' }))).toEqual({ effect: 'allow', rule: undefined, reason: 'there is no policy' })
  })

  it('denies everything where the policy has no rules', () => {
    expect(decide({ rules: [] }, request({}))).toEqual({ effect: 'deny', rule: undefined, reason: 'no rule of the policy allows it' })
  })

  /** Sentence, rules, request, and what is decided by which rule. */
  type Case = readonly [string, readonly Partial<Rule>[], Partial<PolicyRequest>, 'allow' | 'deny', number | undefined]
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
    ['matches the operating system’s user under another label', [{ users: ['alice'] }], { user: 'sync', osUser: 'alice' }, 'allow', 1],
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
    ['denies where a rule asks for an approval', [{ effect: 'ask' }, {}], {}, 'deny', 1],
    ['denies shell text where a rule asks for an approval', [{ effect: 'ask' }, { shell: true }], shell, 'deny', 1],
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

  it('says that approvals are not available', () => {
    expect(decide({ rules: [rule({ effect: 'ask' })] }, request({})).reason).toMatch(/approval, which is not available in this version/)
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

  const word = fc.oneof(fc.string(), fc.constantFrom('*', '**', '', 'ls', 'ls '))
  const literalWord = fc.string().filter((text) => !text.includes('*'))

  it('allows no command that differs from the only allowed one in any word', () => {
    fc.assert(
      fc.property(fc.array(literalWord, { minLength: 1, maxLength: 5 }), fc.array(word, { maxLength: 6 }), (allowed, words) => {
        const same = JSON.stringify(allowed) === JSON.stringify(words)
        expect(decide({ rules: [rule({ commands: [allowed] })] }, request({ words })).effect).toBe(same ? 'allow' : 'deny')
      }),
    )
  })

  it('allows no change, removal, addition or swap of a word of the only allowed command', () => {
    const changed = fc.array(literalWord, { minLength: 1, maxLength: 5 }).chain((allowed) =>
      fc.tuple(fc.constant(allowed), fc.nat(allowed.length - 1), word, fc.constantFrom('replace', 'remove', 'insert', 'join', 'append')),
    )
    fc.assert(
      fc.property(changed, ([allowed, index, other, how]) => {
        const words = [...allowed]
        if (how === 'replace') words[index] = other
        if (how === 'remove') words.splice(index, 1)
        if (how === 'insert') words.splice(index, 0, other)
        if (how === 'append') words.push(other)
        if (how === 'join') words.splice(index, 2, `${words[index] ?? ''} ${words[index + 1] ?? ''}`)
        fc.pre(JSON.stringify(words) !== JSON.stringify(allowed))
        expect(decide({ rules: [rule({ commands: [allowed] })] }, request({ words })).effect).toBe('deny')
      }),
    )
  })

  it('with wildcards allows exactly the commands whose other words are the same', () => {
    const pattern = fc.array(fc.oneof(literalWord, fc.constant('*')), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(pattern, fc.boolean(), fc.array(word, { minLength: 1, maxLength: 6 }), (fixed, isOpen, words) => {
        const fits = fixed.every((part, index) => index < words.length && (part === '*' || part === words[index]))
        const expected = fits && (isOpen || words.length === fixed.length)
        const commands = [isOpen ? [...fixed, '**'] : fixed]
        expect(decide({ rules: [rule({ commands })] }, request({ words })).effect).toBe(expected ? 'allow' : 'deny')
      }),
    )
  })

  it('allows no shell text without a rule that says shell', () => {
    fc.assert(
      fc.property(fc.string(), fc.array(fc.array(word, { minLength: 1 }), { maxLength: 4 }), (shellText, commands) => {
        expect(decide({ rules: [rule({ commands }), rule({})] }, request({ shellText })).effect).toBe('deny')
      }),
    )
  })
})
