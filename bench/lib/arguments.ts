/** The number that an option was given; undefined where it was not. Throws for text that has not this form, with how it is used. */
export function numberOf(option: string, given: string | undefined, { form, usage }: { readonly form: RegExp; readonly usage: string }): number | undefined {
  if (given === undefined) return undefined
  if (!form.test(given)) throw new Error(`${option} ${given} is not a number that can be used there\n${usage}`)
  return Number(given)
}

/** Throws for a `--write` that is no date. */
export function refuseNoDate(given: string | undefined, usage: string): void {
  if (given !== undefined && !/^\d{4}-\d\d-\d\d$/.test(given)) throw new Error(`--write ${given} is not a date\n${usage}`)
}
