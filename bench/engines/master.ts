import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/**
 * Process id of the `ssh` on this machine that is connected to the port of a server on loopback: where only one connection was
 * made there, that is its master. Found by its socket, because a master that stays in the background says little of itself in its
 * command line. Throws where there is none.
 */
export function masterPid({ port }: { readonly port: number }): number {
  const wanted = socketsTo(port)
  const pid = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).find((name) => isSsh(name) && socketsOf(name).some((socket) => wanted.has(socket)))
  if (pid === undefined) throw new Error(`no ssh is connected to port ${port}`)
  return Number(pid)
}

/** The sockets whose other end is that port, by their inodes. Source: proc_pid_net(5). */
function socketsTo(port: number): ReadonlySet<string> {
  const lines = readFileSync('/proc/net/tcp', 'utf8').trim().split('\n').map((line) => line.trim().split(/\s+/))
  return new Set(lines.filter(([, , remote = '']) => Number.parseInt(remote.split(':')[1] ?? '', 16) === port).map(([, , , , , , , , , inode]) => `socket:[${inode ?? ''}]`))
}

function isSsh(pid: string): boolean {
  return ifThere(() => readFileSync(`/proc/${pid}/comm`, 'utf8').trim()) === 'ssh'
}

function socketsOf(pid: string): readonly string[] {
  const folder = `/proc/${pid}/fd`
  return (ifThere(() => readdirSync(folder)) ?? []).map((descriptor) => ifThere(() => readlinkSync(`${folder}/${descriptor}`)) ?? '')
}

/** Processes end while they are looked at, and some belong to others. */
function ifThere<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
