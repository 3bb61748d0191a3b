import { format, inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { Secret } from '../../src/core/secret.ts'

const VALUE = 'hunter2-correct-horse'

describe('Secret', () => {
  const secret = new Secret(VALUE)

  const prints: readonly (readonly [string, () => string])[] = [
    ['String()', () => String(secret)],
    ['a template', () => `${secret.toString()} ${String(secret)}`],
    ['concatenation', () => 'x' + String(secret)],
    ['JSON', () => JSON.stringify({ secret, list: [secret] })],
    ['inspect', () => inspect(secret)],
    ['inspect of what holds it', () => inspect({ deep: { secret } }, { depth: 5, showHidden: true })],
    ['inspect without custom forms', () => inspect(secret, { customInspect: false, showHidden: true })],
    ['format %s', () => format('%s %o %O %j', secret, secret, secret, secret)],
    ['its keys and values', () => JSON.stringify([Object.entries(secret), Reflect.ownKeys(secret).map(String)])],
    ['a copy', () => JSON.stringify({ ...secret }) + inspect(structuredClone(secret))],
    ['a message of an error', () => new Error(`failed with ${String(secret)}`).message],
    ['a sorted list', () => [secret, secret].join(',')],
  ]
  it.each(prints)('is not shown by %s', (_name, print) => {
    expect(print()).not.toContain('hunter2')
  })

  it('prints a placeholder', () => {
    expect(String(secret)).toBe('[secret]')
    expect(JSON.stringify(secret)).toBe('"[secret]"')
    expect(inspect(secret)).toBe('[secret]')
  })

  it('gives its value to who asks for it', () => {
    expect(secret.reveal()).toBe(VALUE)
  })
})
