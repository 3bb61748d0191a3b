/** What a file system has left. */
export interface Space {
  readonly freeBytes: number
  readonly totalBytes: number
  /** Files that can still be made; undefined where the file system does not count them. */
  readonly freeInodes: number | undefined
}

const MEGABYTE = 1_000_000
/** Below one of these somebody should make room. */
const LITTLE = { bytes: 500 * MEGABYTE, share: 0.1 }
/** Below one of these, work fails soon or already. */
const NOTHING = { bytes: 50 * MEGABYTE, share: 0.01 }

/** Whether what is left is enough. */
export function judgeSpace({ freeBytes, totalBytes, freeInodes }: Space): 'ok' | 'warning' | 'failed' {
  const share = totalBytes > 0 ? freeBytes / totalBytes : 0
  if (freeInodes === 0 || freeBytes < NOTHING.bytes || share < NOTHING.share) return 'failed'
  return freeBytes < LITTLE.bytes || share < LITTLE.share ? 'warning' : 'ok'
}

/** `1.2 GB of 40 GB free (3 %)`. */
export function showSpace({ freeBytes, totalBytes, freeInodes }: Space): string {
  const percent = totalBytes > 0 ? Math.floor((100 * freeBytes) / totalBytes) : 0
  const inodes = freeInodes === 0 ? ', and no more files can be made (no inodes)' : ''
  return `${showBytes(freeBytes)} of ${showBytes(totalBytes)} free (${percent} %)${inodes}`
}

function showBytes(bytes: number): string {
  const megabytes = bytes / MEGABYTE
  if (megabytes < 1000) return `${Math.floor(megabytes)} MB`
  return `${(megabytes / 1000).toFixed(megabytes < 10_000 ? 1 : 0)} GB`
}
