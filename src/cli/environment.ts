import { remexError } from '../core/errors.ts'
import { Secret } from '../core/secret.ts'
import { shown } from './values.ts'

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/

/**
 * The variables of `--env K=V` and `--secret-env K[=V]`. A secret without a value is taken from our own environment.
 * Throws `USAGE` for one that has no name, or no value; never with a value in the message.
 */
export function parseEnvironment(
  plain: readonly string[],
  secret: readonly string[],
  own: NodeJS.ProcessEnv,
): Readonly<Record<string, string | Secret>> {
  const variables: [string, string | Secret][] = plain.map((text) => {
    const at = text.indexOf('=')
    // What has no "=" may be a value that slipped, so it is not repeated.
    if (at < 1) throw remexError('USAGE', '--env wants a name and a value: --env NAME=value')
    const name = text.slice(0, at)
    if (!NAME.test(name)) throw remexError('USAGE', `--env: ${shown(name)} is no name for a variable`, { hint: 'Letters, digits and _, not beginning with a digit.' })
    return [name, text.slice(at + 1)]
  })
  for (const text of secret) variables.push(secretVariable(text, own))
  return Object.fromEntries(variables)
}

function secretVariable(text: string, own: NodeJS.ProcessEnv): [string, Secret] {
  const at = text.indexOf('=')
  const name = at === -1 ? text : text.slice(0, at)
  if (!NAME.test(name)) throw remexError('USAGE', '--secret-env wants the name of a variable: --secret-env NAME')
  if (at !== -1) return [name, new Secret(text.slice(at + 1))]
  const value = own[name]
  if (value === undefined) throw remexError('USAGE', `--secret-env: ${shown(name)} is not set in the environment`, { hint: `Set it first, for instance: read -rs ${name}; export ${name}` })
  return [name, new Secret(value)]
}
