import type { SessionReport } from '../session/session.ts'
import type { ScriptCall, ScriptFile } from '../transfer/script-file.ts'

/** All of both streams. */
export const BEGINNING = { stdout: 0, stderr: 0 } as const

/** A script is what it says, not where it was sent to. */
export const identityOf = ({ sha256 }: ScriptFile, call: Pick<ScriptCall, 'args' | 'interpreter'>): string => JSON.stringify([sha256, call.args, call.interpreter ?? ''])

/** Whether a report tells the end of a durable run, and not only of our following it. */
export const isOver = ({ ended }: SessionReport): boolean => ended !== 'lost' && ended !== 'not_started'
