import { describe, expect, it } from 'vitest'
import { parseHop } from '../../src/config/jump.ts'
import { expandHome, stateDir } from '../../src/config/paths.ts'

describe('stateDir', () => {
  const cases: readonly (readonly [string, NodeJS.ProcessEnv, string])[] = [
    ['takes $REMEX_STATE_DIR first', { REMEX_STATE_DIR: '/var/lib/remex', XDG_STATE_HOME: '/xdg' }, '/var/lib/remex'],
    ['expands ~ in it', { REMEX_STATE_DIR: '~/state' }, '/home/x/state'],
    ['takes $XDG_STATE_HOME then', { REMEX_STATE_DIR: '', XDG_STATE_HOME: '/xdg' }, '/xdg/remex'],
    ['passes over a relative $XDG_STATE_HOME, as its specification says', { XDG_STATE_HOME: 'xdg' }, '/home/x/.local/state/remex'],
    ['takes ~/.local/state last', {}, '/home/x/.local/state/remex'],
  ]
  it.each(cases)('%s', (_sentence, env, path) => {
    expect(stateDir(env, '/home/x')).toBe(path)
  })
})

describe('expandHome', () => {
  it.each([
    ['~', '/home/x'],
    ['~/a/b', '/home/x/a/b'],
    ['/a/~/b', '/a/~/b'],
    ['~alice/a', '~alice/a'],
    ['a', 'a'],
  ])('makes of %s %s', (path, expanded) => {
    expect(expandHome(path, '/home/x')).toBe(expanded)
  })
})

describe('parseHop', () => {
  const cases: readonly (readonly [string, string, ReturnType<typeof parseHop>])[] = [
    ['reads a host', 'bastion', { login: undefined, address: 'bastion', port: 22 }],
    ['reads a host and a port', 'bastion:2222', { login: undefined, address: 'bastion', port: 2222 }],
    ['reads all parts', 'admin@bastion.example:2222', { login: 'admin', address: 'bastion.example', port: 2222 }],
    ['reads an IPv6 address', 'admin@2001:db8::1', { login: 'admin', address: '2001:db8::1', port: 22 }],
    ['reads an IPv6 address in brackets', '[2001:db8::1]:2222', { login: undefined, address: '2001:db8::1', port: 2222 }],
    ['refuses an empty text', '', undefined],
    ['refuses an empty login', '@bastion', undefined],
    ['refuses a missing host', 'admin@', undefined],
    ['refuses an empty port', 'bastion:', undefined],
    ['refuses a port that is too large', 'bastion:65536', undefined],
    ['refuses a port that is no number', 'bastion:ssh', undefined],
    ['refuses brackets around a name', '[bastion]:22', undefined],
    ['refuses several jumps in one', 'a.example,b.example', undefined],
    ['refuses a host that could be read as an option', '-oProxyCommand=id', undefined],
    ['refuses a login that could be read as an option', '-l@bastion', undefined],
    ['refuses a space', 'bastion host', undefined],
  ]
  it.each(cases)('%s', (_sentence, text, jump) => {
    expect(parseHop(text)).toEqual(jump)
  })
})
