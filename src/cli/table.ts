import { printable } from '../core/printable.ts'

/** Rows under a head, as aligned columns. Control characters become visible; the last column is not padded. */
export function tableLines(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [head, ...rows].map((row) => row.map(printable))
  const widths = head.map((_, column) => all.reduce((widest, row) => Math.max(widest, (row[column] ?? '').length), 0))
  return all.map((row) => row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))).join('  ').trimEnd())
}
