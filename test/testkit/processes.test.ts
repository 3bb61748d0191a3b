import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { endProcesses, findProcesses, signalProcess } from '../../testkit/processes.ts'
import { until } from '../../testkit/until.ts'

const started: ChildProcess[] = []

afterEach(async () => {
  await endProcesses({ roots: started.splice(0).flatMap((child) => (child.exitCode === null && child.signalCode === null ? [child.pid ?? 0] : [])) })
})

function start(script: string, env: Record<string, string> = {}): number {
  const child = spawn('/bin/sh', ['-c', script], { stdio: 'ignore', env: { PATH: process.env['PATH'], ...env } })
  started.push(child)
  return child.pid ?? 0
}

describe.skipIf(!existsSync('/proc/self/status'))('endProcesses', () => {
  test('ends a process with all its descendants', async () => {
    const root = start('sleep 1000 & (sleep 1000 & sleep 1000; :) & wait')
    const tree = await until(() => (findProcesses({ roots: [root] }).length >= 5 ? findProcesses({ roots: [root] }) : undefined), { what: 'the tree' })
    await endProcesses({ roots: [root] })
    expect(tree.filter((pid) => findProcesses({ roots: [pid] }).length > 0)).toEqual([])
  })

  test('finds by their environment those that left the tree, and no others', async () => {
    const marker = `TESTKIT_MARK=${randomBytes(8).toString('hex')}`
    const [name = '', value = ''] = marker.split('=')
    const stranger = start('sleep 1000', { [name]: `${value}0` })
    start('setsid sleep 1000 & exit 0', { [name]: value })
    await until(() => findProcesses({ marker }).length === 1, { what: 'the one that stays' })
    await endProcesses({ marker })
    expect(findProcesses({ marker })).toEqual([])
    expect(findProcesses({ roots: [stranger] })).toContain(stranger)
  })

  test('does not overlook one that is between two programs', async () => {
    const marker = `TESTKIT_MARK=${randomBytes(8).toString('hex')}`
    const [name = '', value = ''] = marker.split('=')
    // Each program starts the next at once, in place of itself.
    const chain = '[ "$1" -eq 0 ] && exec sleep 1000; exec sh -c "$0" "$0" $(($1-1))'
    for (let round = 0; round < 20; round++) {
      start(`setsid sh -c '${chain}' '${chain}' 40 & exit 0`, { [name]: value })
      await until(() => findProcesses({ marker }).length > 0, { what: 'it begins' })
      await endProcesses({ marker })
      expect(findProcesses({ marker })).toEqual([])
    }
  })

  test('is done at once when there is nothing to end', async () => {
    const pid = start('exit 0')
    await until(() => findProcesses({ roots: [pid] }).length === 0, { what: 'its end' })
    await expect(endProcesses({ roots: [pid] })).resolves.toBeUndefined()
    await expect(endProcesses({})).resolves.toBeUndefined()
  })

  test('never names this process', () => {
    expect(findProcesses({ roots: [process.pid] })).not.toContain(process.pid)
    expect(findProcesses({ uid: process.getuid?.() ?? -1 })).not.toContain(process.pid)
  })

  test('tells whether a signal found its process', async () => {
    const pid = start('exec sleep 1000')
    expect(signalProcess(pid, 'SIGKILL')).toBe(true)
    await until(() => !signalProcess(pid, 0), { what: 'its end' })
  })
})
