const UNITS = ['B', 'kB', 'MB', 'GB', 'TB']

/** A number of bytes for people: `17 B`, `1.2 kB`, `505 MB` (powers of 1000). */
export function formatBytes(sizeBytes: number): string {
  let value = sizeBytes
  let unit = 0
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000
    unit++
  }
  const text = unit > 0 && value < 9.95 ? value.toFixed(1) : value.toFixed(0)
  return `${text} ${UNITS[unit] ?? ''}`
}
