const BEGIN = '<!-- bench:begin -->'
const END = '<!-- bench:end -->'

/** `page` with `text` between its markers, in place of what was there. Throws where a marker is missing. */
export function withSection(page: string, text: string): string {
  const begin = page.indexOf(BEGIN)
  const end = page.indexOf(END, begin)
  if (begin < 0 || end < 0) throw new Error(`the page has no ${BEGIN} with an ${END} after it`)
  return `${page.slice(0, begin + BEGIN.length)}\n${text.trim()}\n${page.slice(end)}`
}
