import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { verifyAudit } from '../../src/audit/verify/verify.ts'
import { Secret } from '../../src/core/secret.ts'
import { startSshServer, type TestSshServer } from '../../testkit/ssh-server.ts'
import { fleetOf, type TestFleet } from '../interop/fleet-of.ts'

let server: TestSshServer
beforeAll(async () => {
  server = await startSshServer()
})
afterAll(() => server.close())

const RECORDED = { settings: { record_output: true } }
const ALL = { effect: 'allow', speaks_for: '*', shell: true }

async function kept(fleet: TestFleet, name: string | undefined): Promise<string> {
  return gunzipSync(await readFile(join(fleet.auditPath, name ?? 'none'))).toString()
}

describe('the output of a run', () => {
  it('is kept as it was written, and the finish record names it', async () => {
    await using fleet = await fleetOf({ vm01: server }, RECORDED)
    const { stdout } = await fleet.remex.host('vm01').run('echo out; echo error >&2')
    expect(stdout).toBe('out\n')
    const finish = (await fleet.records()).at(-1)
    expect(await kept(fleet, finish?.stdout_file)).toBe('out\n')
    expect(await kept(fleet, finish?.stderr_file)).toBe('error\n')
    expect(await verifyAudit(fleet.auditPath)).toMatchObject({ ok: true, outputs: 2 })
  })

  it('is not kept where nobody asks for it', async () => {
    await using fleet = await fleetOf({ vm01: server })
    await fleet.remex.host('vm01').run('echo out')
    expect((await fleet.records()).at(-1)).not.toHaveProperty('stdout_file')
    expect(await readdir(fleet.auditPath)).not.toContain('outputs')
  })

  it('is kept whole, also what the result does not hold', async () => {
    await using fleet = await fleetOf({ vm01: server }, RECORDED)
    const result = await fleet.remex.host('vm01').run('i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done', { maxOutputBytes: 10 })
    expect(result.stdout).toHaveLength(10)
    expect(await kept(fleet, (await fleet.records()).at(-1)?.stdout_file)).toBe(Array.from({ length: 2000 }, (_, i) => `${i}\n`).join(''))
  })

  it('is kept without secrets, in any form, and without what the patterns match', async () => {
    await using fleet = await fleetOf({ vm01: server }, { settings: { record_output: true, secret_patterns: ['token=(\\S+)'] } })
    await fleet.remex.host('vm01').run('printf %s "$B"; printf %s "$B" | base64; echo token=abc', { env: { B: new Secret('hunter2-hunter2') } })
    const text = await kept(fleet, (await fleet.records()).at(-1)?.stdout_file)
    expect(text).not.toContain('hunter2')
    expect(text).not.toContain(Buffer.from('hunter2-hunter2').toString('base64').slice(0, 12))
    expect(text).toContain('token=[secret]')
  })

  it('of a run that was tried several times is kept of all tries', async () => {
    await using fleet = await fleetOf({ vm01: server }, RECORDED)
    const tries = join(fleet.folder, 'tries')
    const onOutput = async (): Promise<void> => {
      if ((await readFile(tries, 'utf8')).length < 3) server.dropAll()
    }
    const text = 'printf x >>"$TRIES"; echo try; [ "$(cat "$TRIES")" = xxx ] || exec sleep 60'
    const result = await fleet.remex.host('vm01').run(text, { env: { TRIES: tries }, idempotent: true, retries: 3, onOutput })
    expect(result).toMatchObject({ attempts: 3, success: true })
    expect(await kept(fleet, (await fleet.records()).at(-1)?.stdout_file)).toBe('try\ntry\ntry\n')
  })

  it('of a run that was ended at its deadline is kept as far as it came', async () => {
    await using fleet = await fleetOf({ vm01: server }, RECORDED)
    const result = await fleet.remex.host('vm01').run('echo begun; exec sleep 60', { timeout: '1s' })
    expect(result.ended).toBe('timed_out')
    expect(await kept(fleet, (await fleet.records()).at(-1)?.stdout_file)).toBe('begun\n')
  })

  it('of a script is kept too', async () => {
    await using fleet = await fleetOf({ vm01: server }, RECORDED)
    const path = join(fleet.folder, 'x.sh')
    await writeFile(path, '#!/bin/sh\necho script\n')
    await fleet.remex.host('vm01').script(path)
    expect(await kept(fleet, (await fleet.records()).at(-1)?.stdout_file)).toBe('script\n')
  })

  it('of a durable run is kept by who starts it, and by who attaches to it', async () => {
    await using fleet = await fleetOf({ vm01: server }, RECORDED)
    const { runId } = await fleet.remex.host('vm01').run('echo durable', { durable: true })
    await fleet.remex.runs.attach(runId)
    const finished = (await fleet.records()).filter(({ event }) => event === 'finish')
    expect(finished.map(({ operation }) => operation)).toEqual(['run', 'run_attach'])
    for (const { stdout_file: name } of finished) expect(await kept(fleet, name)).toBe('durable\n')
  })

  it('of a durable run is kept without its secrets; who attaches does not know them, and goes by the patterns alone', async () => {
    await using fleet = await fleetOf({ vm01: server }, { settings: { record_output: true, secret_patterns: ['token=(\\S+)'] } })
    const { runId } = await fleet.remex.host('vm01').run('echo "$B token=abc"', { durable: true, env: { B: new Secret('hunter2-hunter2') } })
    await fleet.remex.runs.attach(runId)
    const [started, attached] = (await fleet.records()).filter(({ event }) => event === 'finish')
    expect(await kept(fleet, started?.stdout_file)).toBe('[secret] token=[secret]\n')
    expect(await kept(fleet, attached?.stdout_file)).toBe('hunter2-hunter2 token=[secret]\n')
  })

  it('that cannot be kept does not disturb the run, and the record says so', async () => {
    await using fleet = await fleetOf({ vm01: server }, RECORDED)
    await mkdir(fleet.auditPath, { mode: 0o700 })
    // A file where a directory should be: root cannot write there either.
    await writeFile(join(fleet.auditPath, 'outputs'), '')
    const { stdout, success } = await fleet.remex.host('vm01').run('echo out')
    expect({ stdout, success }).toEqual({ stdout: 'out\n', success: true })
    expect((await fleet.records()).at(-1)).toMatchObject({ status: 'success', reason: expect.stringContaining('the output was not recorded') as string })
  })
})

describe('a rule of the policy', () => {
  it('has the output of what it lets through recorded, and not what others do', async () => {
    const rules = [{ ...ALL, commands: [['echo', '**']], shell: false, record_output: true }, ALL]
    await using fleet = await fleetOf({ vm01: server }, { policy: { rules } })
    await fleet.remex.host('vm01').run(['echo', 'a'])
    await fleet.remex.host('vm01').run('echo b')
    const finished = (await fleet.records()).filter(({ event }) => event === 'finish')
    expect(finished.map(({ stdout_file: name }) => name !== undefined)).toEqual([true, false])
  })

  it('can leave output out that is recorded otherwise', async () => {
    await using fleet = await fleetOf({ vm01: server }, { ...RECORDED, policy: { rules: [{ ...ALL, record_output: false }] } })
    await fleet.remex.host('vm01').run('echo b')
    expect((await fleet.records()).at(-1)).not.toHaveProperty('stdout_file')
  })
})
