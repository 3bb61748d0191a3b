import { join } from 'node:path'
import { ensurePrivateDir, writeFileAtomic } from '../core/atomic-file.ts'
import { foldIds } from '../core/fold.ts'
import { printable } from '../core/printable.ts'
import type { SelftestRow } from '../enrol/selftest.ts'
import { packageVersion } from './package-root.ts'

/** Where the files of a selftest go, and what stands at the top of its log. */
export interface SelftestAbout {
  /** Default: `results`, from where we were started. */
  readonly directory: string | undefined
  /** Who asked. */
  readonly user: string
  readonly ids: readonly string[]
}

/** The two files of a selftest, `selftest_<time>.log` and `.json`: written at its end, whole, for nobody else to read. */
export class SelftestFiles {
  readonly #base: string
  readonly #lines: string[]

  private constructor(base: string, head: string) {
    this.#base = base
    this.#lines = [head]
  }

  /** Makes the directory where it is missing, so that it is known before anything is done. Rejects where it cannot be. */
  static async open({ directory, user, ids }: SelftestAbout): Promise<SelftestFiles> {
    const place = directory === undefined || directory === '' ? 'results' : directory
    await ensurePrivateDir(place)
    const now = new Date().toISOString()
    const head = `${now} remex ${packageVersion()} selftest of ${foldIds(ids)}, asked for by ${user}`
    return new SelftestFiles(join(place, `selftest_${now.replaceAll(/[-:.]/g, '')}`), printable(head))
  }

  /** Adds lines to the log. */
  log(lines: readonly string[]): void {
    const now = new Date().toISOString()
    this.#lines.push(...lines.map((line) => `${now} ${line}`))
  }

  /** Writes both files; says where. Rejects where they cannot be written. */
  async write(rows: readonly SelftestRow[]): Promise<string> {
    await writeFileAtomic(`${this.#base}.log`, `${this.#lines.join('\n')}\n`)
    await writeFileAtomic(`${this.#base}.json`, `${JSON.stringify(rows.map(selftestJson), undefined, 2)}\n`)
    return `see ${this.#base}.log and ${this.#base}.json`
  }
}

/** The object of `--json`; field names are stable. */
export function selftestJson({ vmId, check, status, message, hint, executionTime }: SelftestRow): object {
  return { ...(vmId !== undefined && { vm_id: vmId }), check, status, message, hint, execution_time: executionTime }
}

/** A row for people: what was checked and how it went; why, where it did not go well or `withReason`; and what to do. */
export function selftestLines({ vmId, check, status, message, hint, executionTime }: SelftestRow, { withReason }: { readonly withReason: boolean }): string[] {
  const what = `${vmId === undefined ? '' : `${vmId} `}${check} ${status}${status === 'skipped' ? '' : ` ${executionTime.toFixed(2)} s`}`
  const reason = status !== 'ok' || withReason ? `: ${message}` : ''
  return [printable(what + reason), ...(hint === '' ? [] : [`  ${printable(hint)}`])]
}
