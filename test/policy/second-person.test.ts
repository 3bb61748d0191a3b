import { describe, expect, it } from 'vitest'
import { whyNotSecond, type ApproverRules, type Person } from '../../src/policy/second-person.ts'

const alice: Person = { user: 'alice', osUser: 'alice' }
const bob: Person = { user: 'bob', osUser: 'bob' }
/** An account that speaks for people, and one of them. */
const aliceBySvc: Person = { user: 'alice', osUser: 'svc' }
const bobBySvc: Person = { user: 'bob', osUser: 'svc' }
const svc: Person = { user: 'svc', osUser: 'svc' }

describe('the second person', () => {
  const cases: readonly (readonly [string, Person, Person, Partial<ApproverRules>, RegExp | undefined])[] = [
    ['is somebody else', alice, bob, {}, undefined],
    ['is not the one who asks', alice, alice, {}, /alice is who asks/],
    ['is not the one who asks under another name', alice, { user: 'bob', osUser: 'alice' }, {}, /no rule .* lets alice speak for bob/],
    ['is not the one whose name the asker gave', { user: 'bob', osUser: 'alice' }, bob, {}, /bob is who asks/],
    ['is not the one whose name the asker gave, under another name', { user: 'bob', osUser: 'alice' }, { user: 'carol', osUser: 'bob' }, { maySpeak: true }, /bob is who asks/],
    ['is not somebody else who gives the asker’s name', alice, { user: 'alice', osUser: 'bob' }, { maySpeak: true }, /alice is who asks/],
    ['is not somebody else who gives the name of the asker’s account', aliceBySvc, { user: 'svc', osUser: 'bob' }, { maySpeak: true }, /svc is who asks/],
    ['may be somebody else under a name that a rule lets them give', alice, { user: 'carol', osUser: 'bob' }, { maySpeak: true }, undefined],
    ['is nobody under a name that no rule lets them give', alice, { user: 'carol', osUser: 'bob' }, {}, /no rule .* lets bob speak for carol/],
    ['may be another person by the same account, where a rule lets it speak for that one', aliceBySvc, bobBySvc, { maySpeak: true }, undefined],
    ['is nobody by the same account, where no rule lets it', aliceBySvc, bobBySvc, {}, /no rule .* lets svc speak for bob/],
    ['is not the same person by the same account', aliceBySvc, aliceBySvc, { maySpeak: true }, /alice is who asks/],
    ['is not the account itself', aliceBySvc, svc, { maySpeak: true }, /svc is who asks/],
    ['for the account itself may be a person for whom it speaks', svc, bobBySvc, { maySpeak: true }, undefined],
    ['is among the approvers, where the rule names them', alice, bob, { approvers: ['carol', 'bob'] }, undefined],
    ['is nobody who is not among them', alice, bob, { approvers: ['carol'] }, /bob is not among the approvers/],
    ['is among them by the name that is given', alice, { user: 'carol', osUser: 'bob' }, { approvers: ['bob'], maySpeak: true }, /carol is not among the approvers/],
    ['is not the one who asks, even among the approvers', alice, alice, { approvers: ['alice'] }, /alice is who asks/],
    ['is told by exact names', { user: 'Bob', osUser: 'alice' }, bob, {}, undefined],
  ]
  it.each(cases)('%s', (_sentence, asker, approver, rules, why) => {
    const answer = whyNotSecond(asker, approver, { approvers: [], maySpeak: false, ...rules })
    if (why === undefined) expect(answer).toBeUndefined()
    else expect(answer).toMatch(why)
  })
})
