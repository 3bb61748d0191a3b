import { readdirSync, readFileSync } from 'node:fs'

/** What a process holds. */
export interface ProcessSize {
  readonly residentBytes: number
  /** Open files, sockets and pipes. */
  readonly descriptors: number
}

/** What the process holds now; it must be of our own user. Throws where it is gone, or where there is no /proc. Source: proc_pid_status(5). */
export function sizeOf(pid: number): ProcessSize {
  const kilobytes = /^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  if (kilobytes === undefined) throw new Error(`the process ${pid} has ended`)
  return { residentBytes: Number(kilobytes) * 1024, descriptors: readdirSync(`/proc/${pid}/fd`).length }
}
