import type { Skipped } from '../../testkit/daemon.ts'
import type { Wishes } from '../fleet/entry.ts'
import type { Row } from '../harness.ts'
import type { Workspace } from '../lib/workspace.ts'
import type { LongLog } from './long-log.ts'

/** What all rows share. */
export interface AuditStage extends Wishes {
  readonly space: Workspace
  /** Made when it is first asked for. */
  readonly longLog: () => Promise<LongLog>
}

/** A row that is made ready when its turn comes, or says why it cannot be measured here. */
export interface AuditRow {
  /** The row's own id, for `--only`. */
  readonly id: string
  readonly open: (stage: AuditStage) => Promise<(Row & AsyncDisposable) | Skipped>
}
