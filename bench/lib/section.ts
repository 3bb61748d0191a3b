/** `page` with `text` between the markers `<!-- name:begin -->` and `<!-- name:end -->`, in place of what was there. Throws where one is missing. */
export function withSection(page: string, text: string, name = 'bench'): string {
  const [opening, closing] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`]
  const begin = page.indexOf(opening)
  const end = page.indexOf(closing, begin)
  if (begin < 0 || end < 0) throw new Error(`the page has no ${opening} with an ${closing} after it`)
  return `${page.slice(0, begin + opening.length)}\n${text.trim()}\n${page.slice(end)}`
}
