import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { say } from './checkout.mjs'

/** The real servers, login shells and clients that the tests are run against: program and Debian package. */
const PROGRAMS = {
  sshd: 'openssh-server',
  ssh: 'openssh-client',
  dropbear: 'dropbear-bin',
  zsh: 'zsh',
  fish: 'fish',
  csh: 'csh',
  busybox: 'busybox',
  sudo: 'sudo',
  tmux: 'tmux',
}
const POLICY = '/usr/sbin/policy-rc.d'

/** Installs what is missing of PROGRAMS, where that can be done; tells what stays missing, and why. Never fails. */
export function provideServers() {
  if (missing().length === 0) return
  const obstacle = obstacleToInstalling()
  if (!obstacle) withServicesHeld(() => aptInstall(missing().map((program) => PROGRAMS[program])))
  const still = missing()
  if (still.length > 0) say(`not installed: ${still.join(', ')} (${obstacle ?? 'apt-get failed'}). Tests that need them are skipped and counted`)
}

function missing() {
  return Object.keys(PROGRAMS).filter((program) => !isInstalled(program))
}

/** Servers are in sbin directories, which an ordinary user does not have on the path. */
function isInstalled(program) {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin']
  return directories.some((directory) => directory !== '' && isExecutable(join(directory, program)))
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function obstacleToInstalling() {
  if (!existsSync('/etc/debian_version')) return 'not a Debian system: install them with its package manager'
  if (process.getuid() !== 0) return `not root: sudo apt-get install ${missing().map((program) => PROGRAMS[program]).join(' ')}`
  return undefined
}

/** Package lists may be missing or too old; then they are fetched and the install is repeated. */
function aptInstall(packages) {
  say(`installing for the tests: ${packages.join(' ')}`)
  const installed = apt('install', '--no-install-recommends', ...packages)
  if (!installed && apt('update')) apt('install', '--no-install-recommends', ...packages)
}

function apt(...args) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  const options = ['--quiet', '--yes', '--option=DPkg::Lock::Timeout=60', '--option=Acquire::Retries=2']
  return spawnSync('apt-get', [...options, ...args], { env, stdio: ['ignore', 2, 2] }).status === 0
}

/** The package starts an SSH server for all to reach, which nobody asked for. Exit status 101 of this file forbids it. */
function withServicesHeld(work) {
  const ours = madePolicy()
  try {
    work()
  } finally {
    if (ours) rmSync(POLICY, { force: true })
  }
}

function madePolicy() {
  try {
    writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755, flag: 'wx' })
    return true
  } catch {
    return false
  }
}
