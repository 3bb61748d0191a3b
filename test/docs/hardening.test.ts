import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { prelude } from '../../src/session/prelude.ts'
import { ALGORITHMS, POST_QUANTUM_KEX, type AlgorithmCategory } from '../../src/transport/algorithms.ts'
import { sshArguments } from '../../src/transport/openssh/arguments.ts'

const page = await readFile(join(import.meta.dirname, '../../docs/hardening.md'), 'utf8')

const LABELS: Record<AlgorithmCategory, string> = { kex: 'key exchange', hostKey: 'host key', cipher: 'cipher', mac: 'MAC', signature: 'signature of the user key' }

/** Names in the row of a table. */
const namesIn = (label: string): readonly string[] => {
  const row = page.split('\n').find((line) => line.startsWith(`| ${label}`)) ?? ''
  return [...row.matchAll(/`([^`]+)`/g)].flatMap(([, name]) => name ?? [])
}

/** What the page calls by its present name, or by what it does, is set by another option. */
const SET_BY: Readonly<Record<string, string>> = {
  PubkeyAcceptedAlgorithms: 'PubkeyAcceptedKeyTypes',
  KbdInteractiveAuthentication: 'ChallengeResponseAuthentication',
  LocalCommand: 'PermitLocalCommand',
  LocalForward: 'ClearAllForwardings',
  RemoteForward: 'ClearAllForwardings',
  DynamicForward: 'ClearAllForwardings',
}

/** The options that ssh is given for a host with ssh_config. */
function optionsOfSsh(): readonly string[] {
  const target = {
    vmId: 'vm01', address: '10.0.0.1', port: 22, login: 'operator', engineReason: '', verifyHostKey: () => undefined, knownHostKeys: [], knownFingerprints: [], certAuthorities: [], revokedHostKeys: [],
    connectTimeoutMs: 10_000, keepaliveIntervalMs: 15_000, requirePostQuantum: false, sshConfig: { file: undefined, alias: 'db', isProxied: true },
  }
  const names = { knownHosts: 'h', control: 'c', agent: 'a', judge: undefined, certificates: [], log: undefined }
  const program = { version: [10, 0], knows: () => true } as const
  const words = sshArguments({ program, target, purpose: 'connect', isDialled: false, hasPassword: false, names, knownTypes: [], takesCertificates: false, refusedTypes: [] })
  return [...words.filter((_, index) => words[index - 1] === '-o').map((option) => option.split('=')[0] ?? ''), ...(words.includes('-S') ? ['ControlPath'] : [])]
}

describe('docs/hardening.md', () => {
  it.each(Object.entries(LABELS))('lists for %s exactly what may be negotiated, best first', (category, label) => {
    expect(namesIn(`${label} |`)).toEqual(ALGORITHMS[category as AlgorithmCategory])
  })

  it('lists the key exchange that withstands quantum computers', () => {
    expect(namesIn('post-quantum key exchange').slice(1)).toEqual(POST_QUANTUM_KEX)
  })

  it('names as beyond the settings of ssh only what ssh is given for every host', () => {
    const named = ['whom to trust', 'algorithms |', 'who is asked', 'what is run and opened', 'how long'].flatMap(namesIn).filter((name) => /^[A-Z]/.test(name))
    const options = optionsOfSsh()
    expect(named.length).toBeGreaterThan(30)
    expect(named.filter((name) => !options.includes(SET_BY[name] ?? name))).toEqual([])
  })

  it('says how sudo is called', () => {
    const { exec } = prelude({ runId: 'x', text: 'id', env: {}, cwd: undefined, sudoUser: 'root', pty: undefined })
    const [shown = ''] = /^sudo -n .*(?=…)/m.exec(page) ?? []
    expect(exec.startsWith(`exec ${shown}`)).toBe(true)
    expect(shown).not.toBe('')
  })
})
