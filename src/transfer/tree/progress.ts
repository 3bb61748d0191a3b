import type { MoveOptions } from '../receipt.ts'

/** Adds up what the files of a tree bring, for a listener that wants the sum. */
export function summed({ onProgress }: MoveOptions): (byteCount: number) => void {
  let doneBytes = 0
  return (byteCount) => onProgress?.((doneBytes += byteCount), undefined)
}

/** A listener of one file, which tells what came since it was last told. */
export function partOf(onMoved: (byteCount: number) => void): (doneBytes: number) => void {
  let toldBytes = 0
  return (doneBytes) => {
    onMoved(doneBytes - toldBytes)
    toldBytes = doneBytes
  }
}
