/** The number that an option was given; undefined where it was not. Throws for text that has not this form, with how it is used. */
export function numberOf(option: string, given: string | undefined, { form, usage }: { readonly form: RegExp; readonly usage: string }): number | undefined {
  if (given === undefined) return undefined
  if (!form.test(given)) throw new Error(`${option} ${given} is not a number that can be used there\n${usage}`)
  return Number(given)
}

/** The rows that `--only` names; undefined where it was not given. Throws for one that is not among `ids`. */
export function onlyOf(given: string | undefined, ids: readonly string[], usage: string): readonly string[] | undefined {
  const only = given?.split(',')
  const unknown = only?.find((id) => !ids.includes(id))
  if (unknown !== undefined) throw new Error(`there is no row ${unknown}; there is ${ids.join(', ')}\n${usage}`)
  return only
}

/** Throws for a `--write` that is no date. */
export function refuseNoDate(given: string | undefined, usage: string): void {
  if (given !== undefined && !/^\d{4}-\d\d-\d\d$/.test(given)) throw new Error(`--write ${given} is not a date\n${usage}`)
}

/** Throws for a `--write` that would write down what `--quick` shows. */
export function refuseQuickWrite(given: string | undefined, isQuick: boolean, usage: string): void {
  if (given !== undefined && isQuick) throw new Error(`--quick is no measurement to --write down\n${usage}`)
}
