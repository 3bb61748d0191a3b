import { fstatSync, readFileSync } from 'node:fs'
import type { Door } from '../door.ts'

/** Whether a live view can be shown: somebody looks at a terminal that can move its cursor, and all we print goes there. */
export function canBeLive({ globals, stdout, stderr, env }: Pick<Door, 'globals' | 'stdout' | 'stderr' | 'env'>): boolean {
  if (globals.json || globals.quiet || !stdout.isTerminal || !stderr.isTerminal) return false
  const { TERM = '', CI = '' } = env
  return TERM !== '' && TERM !== 'dumb' && (CI === '' || CI === 'false') && fstatSync(1).rdev === fstatSync(2).rdev
}

/** Whether the terminal is ours now. A background job that took it would be stopped, or write over what another program shows. */
export function isForeground(): boolean {
  try {
    // What stands behind the name, which may itself have brackets and blanks. Source: proc(5), fields 5 and 8.
    const [, , group, , , foreground] = readFileSync('/proc/self/stat', 'utf8').replace(/^.*\) /s, '').split(' ')
    return group === foreground
  } catch {
    // Only Linux can be asked; elsewhere it is taken to be so.
    return true
  }
}
