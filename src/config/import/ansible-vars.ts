import { UNUSABLE, type Vars } from './ansible-inventory.ts'

/** What some variables say, where the last of the names that is set counts. */
export type Said =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'value'; readonly value: string | number | boolean }
  /** `variable` is set to what only Ansible can read. */
  | { readonly kind: 'unusable'; readonly variable: string; readonly why: string }

/** The value of the last of `names` that is set; null is as if it were not. */
export function said(vars: Vars, names: readonly string[]): Said {
  const variable = names.findLast((name) => (vars.get(name) ?? null) !== null)
  if (variable === undefined) return { kind: 'nothing' }
  const value = vars.get(variable)
  if (value === UNUSABLE) return { kind: 'unusable', variable, why: 'is encrypted or of a kind that is not known' }
  if (typeof value === 'string' && /\{[{%]/.test(value)) return { kind: 'unusable', variable, why: 'is a template' }
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return { kind: 'value', value }
  return { kind: 'unusable', variable, why: 'is a list or a map' }
}

/** Whether a value is one that Ansible takes for true. */
export function isTrue(value: string | number | boolean): boolean {
  return /^(?:true|yes|on|y|t|1|1\.0)$/i.test(String(value))
}
