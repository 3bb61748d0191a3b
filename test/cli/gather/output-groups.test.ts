import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isDamaged, OutputGroups, type Output, type OutputGroup } from '../../../src/cli/gather/output-groups.ts'
import { BLOCK_BYTES, SpoolStore } from '../../../src/cli/gather/spool-store.ts'
import { Spool } from '../../../src/cli/gather/spool.ts'

let store: SpoolStore

beforeEach(() => {
  store = new SpoolStore(tmpdir())
})

afterEach(async () => {
  await store[Symbol.asyncDispose]()
})

async function output(stdout: string, stderr = '', place = store): Promise<Output> {
  const made = { stdout: new Spool(place), stderr: new Spool(place) }
  await made.stdout.add(Buffer.from(stdout))
  await made.stderr.add(Buffer.from(stderr))
  return made
}

async function text(spool: Spool): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of spool.read()) parts.push(part)
  return Buffer.concat(parts).toString()
}

/** `<ids>: <reason>` of each group. */
function shape(groups: readonly OutputGroup[]): string[] {
  return groups.map(({ ids, reason }) => `${ids.join(',')}${reason === undefined ? '' : `: ${reason}`}`)
}

describe('folding', () => {
  it('and unfolding again gives every host its output and its end, once', async () => {
    const host = fc.record({ stdout: fc.constantFrom('', 'a', 'b', 'ab'), stderr: fc.constantFrom('', 'a', 'b'), reason: fc.constantFrom(undefined, 'exit status 1', 'lost') })
    await fc.assert(
      fc.asyncProperty(fc.array(host, { maxLength: 12 }), async (hosts) => {
        const groups = new OutputGroups(hosts.map((_, index) => `vm${index}`))
        for (const [index, { stdout, stderr, reason }] of hosts.entries()) await groups.add(`vm${index}`, reason, await output(stdout, stderr))
        const unfolded: string[] = []
        for (const { ids, reason, output: { stdout, stderr } } of groups.sorted()) {
          for (const id of ids) unfolded.push(JSON.stringify([id, await text(stdout), await text(stderr), reason]))
        }
        expect(unfolded.sort()).toEqual(hosts.map(({ stdout, stderr, reason }, index) => JSON.stringify([`vm${index}`, stdout, stderr, reason])).sort())
        expect(new Set(hosts.map((each) => JSON.stringify([each.stdout, each.stderr, each.reason]))).size).toBe(groups.sorted().length)
      }),
    )
  })

  it('tells apart what is stdout on one host and stderr on another, and hosts that came to another end', async () => {
    const groups = new OutputGroups(['a', 'b', 'c', 'd'])
    await groups.add('a', undefined, await output('x'))
    await groups.add('b', undefined, await output('', 'x'))
    await groups.add('c', 'exit status 1', await output('x'))
    await groups.add('d', 'exit status 2', await output('x'))
    expect(shape(groups.sorted())).toEqual(['a', 'b', 'c: exit status 1', 'd: exit status 2'])
  })

  it('gives the largest group first, then that of the first host, with hosts in the order of the configuration', async () => {
    const groups = new OutputGroups(['vm3', 'vm1', 'vm2', 'vm5', 'vm4'])
    for (const [id, stdout] of [['vm4', 'b'], ['vm5', 'c'], ['vm2', 'a'], ['vm1', 'd'], ['vm3', 'a']] as const) await groups.add(id, undefined, await output(stdout))
    expect(shape(groups.sorted())).toEqual(['vm3,vm2', 'vm1', 'vm5', 'vm4'])
  })

  it('keeps one copy of equal outputs', async () => {
    const ids = Array.from({ length: 50 }, (_, index) => `vm${index}`)
    const groups = new OutputGroups(ids)
    for (const id of ids) await groups.add(id, undefined, await output('x'.repeat(4 * BLOCK_BYTES)))
    expect(store.sizeBytes).toBe(8 * BLOCK_BYTES)
  })

  it('takes the copy of another host where the first could not be kept', async () => {
    const broken = new SpoolStore(join(tmpdir(), 'not-there', 'at-all'))
    const large = 'x'.repeat(BLOCK_BYTES)
    const groups = new OutputGroups(['a', 'b', 'c'])
    await groups.add('a', undefined, await output(large, '', broken))
    expect(groups.sorted().map((group) => isDamaged(group.output))).toEqual([true])
    await groups.add('b', undefined, await output(large))
    await groups.add('c', undefined, await output(large, '', broken))
    const [group] = groups.sorted()
    expect(group?.ids).toEqual(['a', 'b', 'c'])
    expect(group && (await text(group.output.stdout))).toBe(large)
  })
})
