import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { prelude } from '../../src/session/prelude.ts'
import { ALGORITHMS, type AlgorithmCategory } from '../../src/transport/algorithms.ts'

const page = await readFile(join(import.meta.dirname, '../../docs/hardening.md'), 'utf8')

const LABELS: Record<AlgorithmCategory, string> = { kex: 'key exchange', hostKey: 'host key', cipher: 'cipher', mac: 'MAC', signature: 'signature of the user key' }

describe('docs/hardening.md', () => {
  it.each(Object.entries(LABELS))('lists for %s exactly what may be negotiated, best first', (category, label) => {
    const row = page.split('\n').find((line) => line.startsWith(`| ${label} |`)) ?? ''
    expect([...row.matchAll(/`([^`]+)`/g)].map(([, name]) => name)).toEqual(ALGORITHMS[category as AlgorithmCategory])
  })

  it('says how sudo is called', () => {
    const { exec } = prelude({ runId: 'x', text: 'id', env: {}, cwd: undefined, sudoUser: 'root', pty: undefined })
    const [shown = ''] = /^sudo -n .*(?=…)/m.exec(page) ?? []
    expect(exec.startsWith(`exec ${shown}`)).toBe(true)
    expect(shown).not.toBe('')
  })
})
