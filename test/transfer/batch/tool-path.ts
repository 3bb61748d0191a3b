import { execFileSync } from 'node:child_process'
import { chmod, mkdtemp, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { localAccess } from '../local-access.ts'
import { findHostTools, type HostTools } from '../../../src/transfer/batch/host-tools.ts'
import type { TransferAccess } from '../../../src/transfer/access.ts'

/** Where a program of this machine is; undefined where there is none. */
export function which(program: string): string | undefined {
  try {
    return execFileSync('/bin/sh', ['-c', 'command -v "$1"', 'sh', program]).toString().trim()
  } catch {
    return undefined
  }
}

export const ALL_TOOLS = ['mkdir', 'tar', 'chmod', 'rm', 'cat', 'xargs', 'sha256sum', 'sync', 'stat']

/** What is called as what: a program of this machine, or the body of a shell script. */
export interface ToolPath {
  readonly programs: readonly string[]
  /** The program that is all the others. */
  readonly busybox?: boolean
  readonly scripts?: Readonly<Record<string, string>>
}

/** A host whose PATH has these tools and no others. */
export async function hostWith(home: string, { programs, busybox = false, scripts = {} }: ToolPath): Promise<TransferAccess> {
  const bin = await mkdtemp(join(home, 'bin-'))
  await chmod(bin, 0o755)
  for (const program of programs) await symlink(which(busybox ? 'busybox' : program) ?? '/nowhere', join(bin, program))
  for (const [name, body] of Object.entries(scripts)) {
    await writeFile(join(bin, name), `#!/bin/sh\n${body}\n`)
    await chmod(join(bin, name), 0o755)
  }
  return localAccess({ home, env: { PATH: bin } })
}

/** The tools of a host that is known to have them. */
export async function toolsOf(access: TransferAccess): Promise<HostTools> {
  const tools = await findHostTools(access, undefined)
  if (tools === null) throw new Error('the host was expected to have the tools')
  return tools
}
