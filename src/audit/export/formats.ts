import { CSV } from './csv.ts'
import type { ExportFormat, Origin } from './format.ts'
import { ocsf } from './ocsf.ts'
import { syslog } from './syslog.ts'

/** The forms in which records leave, by their names. */
export const EXPORT_FORMATS = { csv: () => CSV, ocsf, syslog } as const satisfies Readonly<Record<string, (origin: Origin) => ExportFormat>>

/** A name of {@link EXPORT_FORMATS}. */
export type ExportFormatName = keyof typeof EXPORT_FORMATS
