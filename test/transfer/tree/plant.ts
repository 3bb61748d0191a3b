import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { joinPath } from '../../../src/transfer/path-name.ts'

/** What is to be planted: a directory of names (one character a byte), a file of so many bytes with a time, or a link. */
export type Plant = { readonly [name: string]: Plant } | readonly [sizeBytes: number, mtime: number] | string

/** Makes `plant` at `path`. */
export function plantTree(path: Buffer, plant: Plant): void {
  if (typeof plant === 'string') symlinkSync(Buffer.from(plant, 'latin1'), path)
  else if (isFile(plant)) plantFile(path, plant)
  else {
    mkdirSync(path)
    for (const [name, inner] of Object.entries(plant)) plantTree(joinPath(path, Buffer.from(name, 'latin1')), inner)
  }
}

/** What is at `path`, as {@link plantTree} would make it. */
export function harvestTree(path: Buffer): Plant {
  const stats = lstatSync(path)
  if (stats.isSymbolicLink()) return readlinkSync(path, 'buffer').toString('latin1')
  if (!stats.isDirectory()) return [readFileSync(path).length, Math.floor(stats.mtimeMs / 1000)]
  const names = readdirSync(path, 'latin1').sort()
  return Object.fromEntries(names.map((name) => [name, harvestTree(joinPath(path, Buffer.from(name, 'latin1')))]))
}

function isFile(plant: Exclude<Plant, string>): plant is readonly [number, number] {
  return Array.isArray(plant)
}

function plantFile(path: Buffer, [sizeBytes, mtime]: readonly [number, number]): void {
  writeFileSync(path, Buffer.alloc(sizeBytes))
  utimesSync(path, mtime, mtime)
}
