import { spawnSync } from 'node:child_process'
import { findProgram } from '../../testkit/daemon.ts'
import type { ProcessCall } from '../lib/whole-process.ts'
import type { Squad } from './fleet.ts'
import { PARALLEL } from './parallel.ts'

/** Somebody who runs a command on many hosts. */
export interface Peer {
  /** As it stands in the table. */
  readonly name: string
  /** Why it cannot be measured here; undefined where it can. */
  readonly missing: () => string | undefined
  /** The whole process that runs {@link COMMAND} on all hosts of the squad. */
  readonly call: (squad: Squad) => ProcessCall
  /** Whether a run leaves connections open that the next one uses. */
  readonly staysConnected?: boolean
}

/** What everybody runs, and what every host must answer with. */
export const COMMAND = 'echo hello'
export const ANSWER = 'hello'

/** The names that goals are about. */
export const REMEX = 'remex run'
export const CLUSH = 'clush'
export const PSSH = 'pssh'
export const ANSIBLE = 'ansible raw'

/** Remex first: all others are given as ratios to it. */
export const peers: readonly [Peer, ...Peer[]] = [
  { name: REMEX, missing: () => undefined, call: (squad) => remexCall(squad, ['all', '--', ...COMMAND.split(' ')]) },
  { name: 'ssh by xargs', missing: () => absent('xargs', 'findutils') ?? absent('ssh', 'openssh-client'), call: (squad) => xargs(squad, squad.sshConfigPath) },
  { name: 'ssh by xargs, already connected', staysConnected: true, missing: () => absent('xargs', 'findutils') ?? absent('ssh', 'openssh-client'), call: (squad) => xargs(squad, squad.masterConfigPath) },
  { name: CLUSH, missing: () => absent('clush', 'clustershell'), call: clush },
  { name: PSSH, missing: () => absent('parallel-ssh', 'pssh'), call: pssh },
  { name: 'pdsh', missing: () => absent('pdsh', 'pdsh'), call: pdsh },
  { name: ANSIBLE, missing: () => absent('ansible', 'ansible-core'), call: ansible },
  ...pythonPeers(),
]

/** The built command line itself, as an installed `remex` is. */
export function remexCall({ remexConfigPath, stateFolder }: Pick<Squad, 'remexConfigPath' | 'stateFolder'>, words: readonly string[]): ProcessCall {
  const options = ['--quiet', '--config', remexConfigPath, '--parallel', String(PARALLEL)]
  return { argv: [process.execPath, 'dist/cli.cjs', 'run', ...options, ...words], env: { ...process.env, REMEX_STATE_DIR: stateFolder } }
}

function absent(program: string, debianPackage: string): string | undefined {
  return findProgram(program) === undefined ? `not installed (Debian: ${debianPackage})` : undefined
}

function xargs({ hostsPath }: Squad, configPath: string): ProcessCall {
  return { argv: ['xargs', '-a', hostsPath, '-P', String(PARALLEL), '-I', '{}', 'ssh', '-n', '-F', configPath, '{}', COMMAND] }
}

function clush({ hostsPath, sshConfigPath }: Squad): ProcessCall {
  return { argv: ['clush', '-q', '-S', '-f', String(PARALLEL), '-o', `-F ${sshConfigPath}`, '--hostfile', hostsPath, COMMAND] }
}

function pssh({ hostsPath, sshConfigPath, login }: Squad): ProcessCall {
  return { argv: ['parallel-ssh', '-h', hostsPath, '-l', login, '-p', String(PARALLEL), '-t', '0', '-x', `-F ${sshConfigPath}`, '-i', COMMAND] }
}

function pdsh({ hostsPath, sshConfigPath, login }: Squad): ProcessCall {
  const env = { ...process.env, PDSH_SSH_ARGS: `-F ${sshConfigPath} -l%u %h` }
  return { argv: ['pdsh', '-R', 'ssh', '-S', '-l', login, '-f', String(PARALLEL), '-w', `^${hostsPath}`, COMMAND], env }
}

function ansible({ hostsPath, ansibleConfigPath }: Squad): ProcessCall {
  const env = { ...process.env, ANSIBLE_CONFIG: ansibleConfigPath }
  return { argv: ['ansible', 'all', '-i', hostsPath, '-m', 'raw', '-a', COMMAND, '-f', String(PARALLEL)], env }
}

function pythonPeers(): readonly Peer[] {
  return ['paramiko', 'asyncssh', 'fabric'].map((module) => ({
    name: module,
    missing: () => (pythonWith(module) === undefined ? `no python3 can import it (Debian: ${module === 'fabric' ? module : `python3-${module}`})` : undefined),
    call: ({ hostsPath, port, login, privateKeyPath, knownHostsPath }) => ({
      argv: [pythonWith(module) ?? 'python3', `bench/fleet/peers/with_${module}.py`, hostsPath, String(port), login, privateKeyPath, knownHostsPath, String(PARALLEL), COMMAND],
    }),
  }))
}

/** The one of the system first: Debian's packages are its. */
function pythonWith(module: string): string | undefined {
  return ['/usr/bin/python3', 'python3'].find((python) => spawnSync(python, ['-c', `import ${module}`], { stdio: 'ignore' }).status === 0)
}
