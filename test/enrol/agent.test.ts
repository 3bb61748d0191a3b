import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { makeKeyPair } from '../../testkit/keys.ts'
import { startAgent, type TestAgent } from '../../testkit/ssh-agent.ts'
import { failureOf } from '../failure-of.ts'
import { keyPlace, obstacle, willing, type KeyPlace } from './key-place.ts'

const key = makeKeyPair('ed25519', { comment: 'ada@home' })
let place: KeyPlace
let agent: TestAgent

/** A host that one key of the agent opens, beside `others`. */
async function start(others = 0): Promise<void> {
  const started = await startAgent([...Array.from({ length: others }, () => makeKeyPair()), key])
  if ('skipped' in started) throw new Error(started.skipped)
  agent = started
  place = await keyPlace(['vm01'], { config: [`AuthorizedKeysCommand /bin/echo ${key.publicKey}`, 'AuthorizedKeysCommandUser nobody'], settings: { key_storage_path: undefined }, env: { SSH_AUTH_SOCK: agent.socketPath } })
}

afterEach(async () => {
  if (obstacle) return
  await place[Symbol.asyncDispose]()
  await agent.close()
})

describe.skipIf(obstacle)(`an ssh-agent${obstacle && ` (skipped: ${obstacle})`}`, () => {
  it('opens a host as the only source of keys', async () => {
    await start()
    const remex = await place.open({ settings: { key_storage_path: await emptyStore() } })
    expect(await remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n' })
  })

  it('with more keys than a server has patience for opens it with the one that identity_file names', async () => {
    await start(7)
    expect(await failureOf((await place.open({ settings: { key_storage_path: await emptyStore() } })).host('vm01').run('true'))).toMatchObject({ code: 'AUTH_FAILED' })
    const remex = await place.open({ vms: { vm01: { identity_file: await publicFile() } } })
    expect(await remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n' })
  })

  it('is an access that works already, by which a key is set up without a password', async () => {
    await start()
    const remex = await place.open({ settings: { key_storage_path: place.keys } })
    expect(await remex.keys.setup('vm01')).toMatchObject({ by: 'key', made: true, added: true })
    expect(await place.authorizedKeys('vm01')).toContain('remex-vm01-')
  })

  it('that vanishes leaves open connections as they are, and new ones say what is missing', async () => {
    await start()
    const remex = await place.open({ vms: { vm01: { identity_file: await publicFile() } } })
    expect(await remex.host('vm01').run('true')).toMatchObject({ success: true })
    await agent.close()
    expect(await remex.host('vm01').run('echo still')).toMatchObject({ stdout: 'still\n' })
    const later = await place.open({ vms: { vm01: { identity_file: await publicFile() } } })
    expect(await failureOf(later.host('vm01').run('true'))).toMatchObject({ code: 'KEY_UNUSABLE', hint: expect.stringContaining('ssh-add') as string })
    const withoutFile = await place.open({ settings: { key_storage_path: place.keys } }).then((opened) => opened.keys.setup('vm01', willing))
    expect(withoutFile).toMatchObject({ by: 'password' })
  })

  it('is not rotated, for its keys are not ours', async () => {
    await start()
    const remex = await place.open({ vms: { vm01: { identity_file: await publicFile() } } })
    expect(await failureOf(remex.keys.rotate('vm01'))).toMatchObject({ code: 'KEY_UNUSABLE', message: expect.stringContaining('ssh-agent') as string })
  })
})

async function emptyStore(): Promise<string> {
  const path = join(place.folder, 'empty')
  await mkdir(path)
  return path
}

async function publicFile(): Promise<string> {
  const path = join(place.folder, 'ada.pub')
  await writeFile(path, `${key.publicKey}\n`)
  return path
}
