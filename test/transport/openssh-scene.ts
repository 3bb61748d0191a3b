import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { vi } from 'vitest'
import type { Engine } from '../../src/transport/contract.ts'
import { opensshEngine } from '../../src/transport/openssh/engine.ts'
import { endProcesses, findProcesses } from '../../testkit/processes.ts'
import { until } from '../../testkit/until.ts'

/** An engine whose traces can be found: its processes by their home, its files by their directory. */
export interface Scene extends AsyncDisposable {
  readonly engine: Engine
  /** What takes the place of the system's directory for temporary files. */
  readonly temporary: string
  /** In the environment of every ssh that the engine starts. */
  readonly home: string
  /** The live processes that it has started. */
  processes(): readonly number[]
  /** What it has in its directory. */
  files(): Promise<readonly string[]>
  /** Waits until there is neither. */
  isClean(): Promise<void>
}

/** `path`: where `ssh` is found, before everything else. Changes TMPDIR for this process until it is disposed of. */
export async function openScene({ path }: { readonly path?: string } = {}): Promise<Scene> {
  const place = await mkdtemp(join(tmpdir(), 'scene-'))
  const [home, temporary] = [join(place, 'h'), join(place, 't')]
  await Promise.all([mkdir(home), mkdir(temporary)])
  vi.stubEnv('TMPDIR', temporary)
  const PATH = [path, process.env['PATH']].filter((part) => part !== undefined).join(':')
  const marker = `HOME=${home}`
  const processes = (): readonly number[] => findProcesses({ marker })
  // Servers of the kit have theirs in it too, under longer names.
  const files = async (): Promise<readonly string[]> => (await readdir(temporary)).filter((name) => /^remex-[^-]{6}$/.test(name))
  return {
    engine: opensshEngine({ ...process.env, PATH, HOME: home }),
    temporary,
    home,
    processes,
    files,
    isClean: async () => {
      await until(async () => processes().length === 0 && (await files()).length === 0, { what: 'nothing to be left', timeoutMs: 5000 })
    },
    [Symbol.asyncDispose]: async () => {
      vi.unstubAllEnvs()
      await endProcesses({ marker })
      await rm(place, { recursive: true, force: true })
    },
  }
}
