import { afterEach, describe, expect, it } from 'vitest'
import { Secret } from '../../src/core/secret.ts'
import { failureOf } from '../failure-of.ts'
import { keyPlace, obstacle, PASSWORD, willing, type KeyPlace } from './key-place.ts'

const POST_QUANTUM = { config: ['KexAlgorithms sntrup761x25519-sha512@openssh.com'], settings: { require_post_quantum: true } }

let place: KeyPlace
afterEach(async () => {
  if (!obstacle) await place[Symbol.asyncDispose]()
})

describe.skipIf(obstacle)(`enrolment of a host that only ssh can reach${obstacle && ` (skipped: ${obstacle})`}`, () => {
  it('goes from nothing to access by key with a password, and on to another key and another host key', async () => {
    place = await keyPlace(['vm01'], { ...POST_QUANTUM, trusted: false, hostKeyKinds: ['ed25519', 'ecdsa'] })
    const report = await place.remex.keys.setup('vm01', willing)
    expect(report).toMatchObject({ made: true, added: true, by: 'password' })
    expect([...report.trusted].sort()).toEqual(place.server.hostKeys.map(({ fingerprint }) => fingerprint).sort())
    expect(await place.remex.check('vm01')).toMatchObject({ engine: 'openssh', postQuantum: 'used' })
    expect(await place.remex.keys.rotate('vm01')).toMatchObject({ vmId: 'vm01' })
    expect(await (await place.open()).host('vm01').run('id -un')).toMatchObject({ stdout: `${place.user('vm01').name}\n` })
    expect(await place.remex.trust.rotate('vm01')).toMatchObject({ announced: true, added: [], removed: [] })
    expect(JSON.stringify(await place.records())).not.toContain(PASSWORD)
  })

  it('tells that the password was refused, and asks for it once', async () => {
    place = await keyPlace(['vm01'], POST_QUANTUM)
    let asked = 0
    const password = (): Promise<Secret> => {
      asked++
      return Promise.resolve(new Secret('wrong'))
    }
    expect(await failureOf(place.remex.keys.setup('vm01', { ...willing, password }))).toMatchObject({ code: 'AUTH_FAILED', hint: expect.stringContaining('password was refused') as string })
    expect(asked).toBe(1)
    expect((await place.server.log()).match(/Failed password/g) ?? []).toHaveLength(1)
  })

  it('tells that no passwords are accepted', async () => {
    place = await keyPlace(['vm01'], { ...POST_QUANTUM, config: [...POST_QUANTUM.config, 'PasswordAuthentication no'] })
    expect(await failureOf(place.remex.keys.setup('vm01', willing))).toMatchObject({ code: 'AUTH_FAILED', hint: expect.stringContaining('allow PasswordAuthentication') as string })
  })
})
