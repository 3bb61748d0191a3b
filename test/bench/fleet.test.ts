import { existsSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { benchFleet, fleetRows } from '../../bench/fleet.ts'
import { judgedUnlessQuick, lasting, roundsOf, type FleetEntry, type Stage } from '../../bench/fleet/entry.ts'
import { PARALLEL } from '../../bench/fleet/parallel.ts'
import { peers } from '../../bench/fleet/peers.ts'
import { plotsOf } from '../../bench/fleet/plots.ts'
import type { Measured, RowResult } from '../../bench/harness.ts'
import { childrenCpuMs } from '../../bench/lib/cpu-time.ts'
import { wholeProcess } from '../../bench/lib/whole-process.ts'
import { findProgram } from '../../testkit/daemon.ts'
import { takePrinted } from './printed.ts'

const opened: { id: string; stage: Stage }[] = []

function row(id: string, sample: number): FleetEntry {
  return {
    id,
    open: async (stage) => {
      opened.push({ id, stage })
      return lasting({
        id,
        title: `About ${id}`,
        unit: 'ms',
        ...roundsOf(stage, { rounds: 2, warmUps: 1 }),
        ...judgedUnlessQuick(stage, { contender: 'remex run', of: 'ratio', to: 'clush', atMost: 0.35 }),
        leftOut: [{ name: 'pdsh', reason: 'not installed (Debian: pdsh)' }],
        contenders: [{ name: 'remex run', run: () => Promise.resolve(sample) }, { name: 'clush', run: () => Promise.resolve(100) }],
      })
    },
  }
}

const skipping: FleetEntry = { id: 'skipping', open: () => Promise.resolve({ skipped: 'sshd is not installed' }) }
const failing: FleetEntry = { id: 'failing', open: () => Promise.reject(new Error('3 of 4 hosts answered')) }

describe('bench fleet', () => {
  const printed = takePrinted()
  const { lines } = printed
  beforeEach(() => {
    opened.length = 0
  })

  it('judges a goal against another contender than the first', async () => {
    expect(await benchFleet([], [row('one', 35)])).toBe(0)
    expect(printed.text).toContain('About one  [at most 0.35 × clush: reached]')
    expect(await benchFleet([], [row('one', 36)])).toBe(1)
    expect(printed.text).toContain('About one  [at most 0.35 × clush: MISSED]')
  })

  it('says who is left out of a row, and why', async () => {
    await benchFleet([], [row('one', 35)])
    expect(printed.text).toMatch(/pdsh +left out: not installed \(Debian: pdsh\)/)
  })

  it('goes on after a row that fails, and ends with 1', async () => {
    expect(await benchFleet(['--json'], [failing, row('one', 35)])).toBe(1)
    expect(lines()).toMatchObject([{ id: 'failing', failed: '3 of 4 hosts answered' }, { id: 'one', reached: true }])
  })

  it('says why a row is skipped, and does not count it', async () => {
    expect(await benchFleet([], [skipping])).toBe(0)
    expect(printed.text).toContain('skipping: skipped, sshd is not installed')
  })

  it('measures once and judges nothing with --quick', async () => {
    expect(await benchFleet(['--quick', '--json'], [row('one', 99)])).toBe(0)
    expect(lines()).toMatchObject([{ id: 'one', contenders: [{ name: 'remex run', samples: [99] }, { name: 'clush', samples: [100] }] }])
    expect(opened).toMatchObject([{ id: 'one', stage: { quick: true } }])
  })

  it('leaves no files', async () => {
    await benchFleet([], [row('one', 35), row('two', 35)])
    expect(new Set(opened.map(({ stage }) => stage.folder)).size).toBe(1)
    expect(opened.some(({ stage }) => existsSync(stage.folder))).toBe(false)
  })

  it.each([
    ['an unknown row', ['--only', 'none'], 'there is no row none; there is one'],
    ['a wrong number of rounds', ['--rounds', '0'], '--rounds 0'],
    ['a wrong date', ['--write', 'today'], '--write today'],
    ['to write down a quick look', ['--write', '2026-01-31', '--quick'], '--quick is no measurement'],
    ['an unknown option', ['--fast'], '--fast'],
  ])('refuses %s before it measures anything', async (_what, args, message) => {
    await expect(benchFleet(args, [row('one', 1)])).rejects.toThrow(message)
    expect(opened).toEqual([])
  })

  it('has a row of its own name for each', () => {
    const ids = fleetRows.map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
  })

  it.skipIf(process.platform !== 'linux' || findProgram('sshd') === undefined || !existsSync('dist/cli.cjs'))(
    'runs everybody who is installed on real servers, and every host answers',
    async () => {
      expect(await benchFleet(['--quick', '--json', '--only', 'fan-10,memory-1,cpu'])).toBe(0)
      const [time, memory, cpu] = lines() as readonly RowResult[]
      for (const result of [time, memory, cpu]) expect(namesOf(result)).toContain('remex run')
      // Who is missing is missing here; nobody who is there fails.
      expect((time?.leftOut ?? []).map(({ name }) => name)).toEqual(peers.filter((peer) => peer.missing() !== undefined).map(({ name }) => name))
      expect(namesOf(time).length + (time?.leftOut ?? []).length).toBe(peers.length)
      for (const { median } of time?.contenders ?? []) expect(median).toBeGreaterThan(1)
      expect(remexOf(memory)).toBeGreaterThan(20)
      expect(remexOf(memory)).toBeLessThan(500)
      expect(remexOf(cpu)).toBeGreaterThan(0.01)
    },
    120_000,
  )
})

function namesOf(result: RowResult | undefined): readonly string[] {
  return (result?.contenders ?? []).map(({ name }) => name)
}

function remexOf(result: RowResult | undefined): number | undefined {
  return result?.contenders.find(({ name }) => name === 'remex run')?.median
}

describe('the peers', () => {
  const squad = {
    count: 1, addresses: ['127.0.0.1'], port: 22, login: 'tester', privateKeyPath: '/k', knownHostsPath: '/known', hostsPath: '/hosts', sshConfigPath: '/ssh_config',
    masterConfigPath: '/master_config', ansibleConfigPath: '/a.cfg', remexConfigPath: '/r.json', stateFolder: '/state',
  }

  it.each(peers.map((peer) => [peer.name, peer] as const))('%s is told how many hosts at a time', (_name, peer) => {
    expect(peer.call(squad).argv).toContain(String(PARALLEL))
  })
})

describe('processor time', () => {
  it('is read from what the shell says about its children', () => {
    expect(childrenCpuMs('0m0.000000s 0m0.010000s\n1m2.500000s 0m0.250000s\n')).toBe(62_750)
  })

  it('of something else is an error', () => {
    expect(() => childrenCpuMs('none')).toThrow('times')
  })

  it('counts what the process starts and waits for', async () => {
    const busy = 'while (process.cpuUsage().user < 200_000);'
    const { cpuMs, stdout } = await wholeProcess({ argv: ['sh', '-c', `'${process.execPath}' --eval '${busy}'; echo done`], measureCpu: true, keepStdout: true })
    expect(cpuMs).toBeGreaterThan(180)
    expect(stdout).toBe('done\n')
  })

  it('of a process that fails is its error', async () => {
    await expect(wholeProcess({ argv: ['sh', '-c', 'echo no luck >&2; exit 3'], measureCpu: true })).rejects.toThrow(/ended with 3: no luck/)
  })
})

describe.skipIf(process.platform !== 'linux')('memory with children', () => {
  it('is that of all that runs at one time, what they share counted once', async () => {
    const kept = 'const kept = Buffer.alloc(100 * 1024 * 1024, 1)'
    const child = `${kept}; setTimeout(() => console.log(kept.length), 400)`
    const parent = `${kept}; require("child_process").execFileSync(process.execPath, ["--eval", ${JSON.stringify(child)}]); console.log(kept.length)`
    const { peakRssBytes } = await wholeProcess({ argv: [process.execPath, '--eval', parent], watchMemory: 'with children' })
    expect(peakRssBytes).toBeGreaterThan(200e6)
    expect(peakRssBytes).toBeLessThan(400e6)
  })
})

describe('the plots', () => {
  const measured = (name: string, median: number): Measured => ({ name, median, samples: [median], ratio: 1 })
  const result = (id: string, contenders: readonly Measured[]): RowResult => ({ id, title: id, unit: 'ms', contenders, reached: undefined })

  it('are those that there are results for', () => {
    const some = [result('fan-1', [measured('remex run', 200)]), result('fan-100', [measured('remex run', 2000)]), result('connect', [measured('ssh', 200), measured('remex library', 40)])]
    expect(plotsOf(some).map(({ name }) => name)).toEqual(['fleet-time', 'connect'])
    expect(plotsOf([])).toEqual([])
  })

  it('show Remex first', () => {
    const [plot] = plotsOf([result('cpu', [measured('clush', 6), measured('remex run', 8)])])
    expect(plot?.svg.indexOf('remex run')).toBeLessThan(plot?.svg.indexOf('clush') ?? 0)
  })
})
