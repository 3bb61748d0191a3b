import { spawnSync } from 'node:child_process'
import { arch, availableParallelism, cpus, platform, release, totalmem } from 'node:os'

/** Where a measurement was made: figures mean nothing without it. */
export interface Machine {
  /** `AMD EPYC`, as the system names it. */
  readonly cpu: string
  /** What this process may use. */
  readonly cores: number
  readonly memoryBytes: number
  /** `linux 6.1.0 x64`. */
  readonly system: string
  /** `v20.19.0`. */
  readonly node: string
  /** `OpenSSH_9.2p1 Debian-2+deb12u3`; `none` where there is no ssh. */
  readonly openssh: string
}

/** This machine. */
export function thisMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    system: `${platform()} ${release().split('-')[0] ?? ''} ${arch()}`,
    node: process.version,
    openssh: opensshVersion(),
  }
}

/** `ssh -V` answers on stderr: `OpenSSH_9.2p1 Debian-2+deb12u3, OpenSSL 3.0.15 …`. */
function opensshVersion(): string {
  const { error, stderr } = spawnSync('ssh', ['-V'], { encoding: 'utf8' })
  return error ? 'none' : (stderr.split(',')[0] ?? '').trim()
}

/** One line for people. */
export function describeMachine({ cpu, cores, memoryBytes, system, node, openssh }: Machine): string {
  return `${cpu}, ${cores} cores, ${Math.round(memoryBytes / 2 ** 30)} GiB, ${system}, Node ${node}, ${openssh}`
}
