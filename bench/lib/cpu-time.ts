import { readFileSync } from 'node:fs'

/** Of Linux on all machines that Node runs on. */
const TICKS_PER_SECOND = 100

/**
 * The call, made by a shell that afterwards writes to its file descriptor 3 what processor time everything took that it started
 * and waited for. What stays in the background is not in it.
 */
export function timedByShell(argv: readonly string[]): [string, ...string[]] {
  // Nobody but the shell gets the descriptor: what stays in the background would keep it open.
  return ['sh', '-c', '"$@" 3>&-; status=$?; times >&3; exit $status', 'sh', ...argv]
}

/** User and system time, in ms, of what `times` says about children: `0m1.250000s 0m0.300000s` on its second line. */
export function childrenCpuMs(times: string): number {
  const parts = [...(times.split('\n')[1] ?? '').matchAll(/(\d+)m([\d.]+)s/g)]
  if (parts.length !== 2) throw new Error(`\`times\` of sh says ${JSON.stringify(times)}`)
  return parts.reduce((sum, [, minutes, seconds]) => sum + (Number(minutes) * 60 + Number(seconds)) * 1000, 0)
}

/** Processor time that the whole machine has spent since its start, in ms, waiting excluded. Source: proc_stat(5). */
export function machineCpuMs(): number {
  const [user = 0, nice = 0, system = 0, _idle, _ioWait, interrupts = 0, softInterrupts = 0] = (/^cpu +(.+)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1] ?? '').split(' ').map(Number)
  return ((user + nice + system + interrupts + softInterrupts) * 1000) / TICKS_PER_SECOND
}
