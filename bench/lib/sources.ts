import { randomBytes, randomFillSync } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'

/** What a tree is made of: so many directories with so many files each. */
export interface TreeShape {
  readonly directories: number
  readonly filesPerDirectory: number
  readonly sizeBytes: number
}

const PIECE_BYTES = 8_000_000

/** Makes a file of random bytes that everybody may read. */
export async function makeFile(path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, 'wx', 0o644)
  try {
    for (let left = sizeBytes; left > 0; left -= PIECE_BYTES) await file.write(randomBytes(Math.min(left, PIECE_BYTES)))
  } finally {
    await file.close()
  }
}

/** Makes a file of zeros that takes no room. */
export async function makeSparseFile(path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, 'wx', 0o644)
  await file.truncate(sizeBytes).finally(() => file.close())
}

/** Makes a tree of files of random bytes that everybody may read. In step: many small files are made faster so. */
export async function makeTree(path: string, { directories, filesPerDirectory, sizeBytes }: TreeShape): Promise<void> {
  const content = Buffer.alloc(sizeBytes)
  mkdirSync(path, { mode: 0o755 })
  for (let directory = 0; directory < directories; directory++) {
    const inside = join(path, `directory-${directory}`)
    mkdirSync(inside, { mode: 0o755 })
    for (let file = 0; file < filesPerDirectory; file++) writeFileSync(join(inside, `file-${file}.bin`), randomFillSync(content), { mode: 0o644 })
  }
}
