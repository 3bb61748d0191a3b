import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RemexError } from '../../src/core/errors.ts'
import { foldIds } from '../../src/core/fold.ts'
import { resolveTargets, selectTargets, type TargetHost } from '../../src/core/targets.ts'

function host(id: string, role: string, groups: string[] = [], state: TargetHost['state'] = 'usable'): TargetHost {
  return { id, role, groups, state }
}

const LAB: readonly TargetHost[] = [
  host('vm01', 'ingest-parser', ['lab', 'prod']),
  host('vm02', 'database', ['db', 'prod']),
  host('vm03', 'analysis', ['lab'], 'disabled'),
  host('vm04', 'orchestrator', ['db'], 'not_allowed'),
  host('vm10', 'database', ['lab', 'db']),
  host('web.lab-1', '', []),
]

function failure(expression: string | readonly string[], hosts = LAB): RemexError {
  try {
    selectTargets(expression, hosts)
  } catch (error) {
    if (error instanceof RemexError) return error
    throw error
  }
  throw new Error(`${JSON.stringify(expression)} was accepted`)
}

describe('selectTargets', () => {
  const selections: readonly (readonly [string, string | readonly string[], readonly string[]])[] = [
    ['takes one host by its id', 'vm01', ['vm01']],
    ['takes a list, in the order of the configuration', 'vm10,vm01', ['vm01', 'vm10']],
    ['takes each host once', 'vm01,vm01,@prod', ['vm01', 'vm02']],
    ['takes a range and keeps the padding', 'vm[01-02]', ['vm01', 'vm02']],
    ['takes several ranges and numbers in brackets', 'vm[01-02,10]', ['vm01', 'vm02', 'vm10']],
    ['takes a number alone in brackets', 'vm[10]', ['vm10']],
    ['takes brackets in the middle of an id', 'web.lab-[1-1]', ['web.lab-1']],
    ['takes a group', '@prod', ['vm01', 'vm02']],
    ['takes a role as a group', '@database', ['vm02', 'vm10']],
    ['takes everything that is usable', 'all', ['vm01', 'vm02', 'vm10', 'web.lab-1']],
    ['excludes a host', 'all,!vm02', ['vm01', 'vm10', 'web.lab-1']],
    ['excludes whatever the order', '!vm02,all', ['vm01', 'vm10', 'web.lab-1']],
    ['excludes a group', '@prod,!@db', ['vm01']],
    ['excludes a range', 'all,!vm[01-02]', ['vm10', 'web.lab-1']],
    ['reads exclusions alone as everything but those', '!vm01', ['vm02', 'vm10', 'web.lab-1']],
    ['intersects', '@db&@prod', ['vm02']],
    ['intersects a range with a group', 'vm[01-02]&@db', ['vm02']],
    ['excludes an intersection as a whole', 'all,!@db&@prod', ['vm01', 'vm10', 'web.lab-1']],
    ['may exclude a disabled host that it names', 'vm[01-03],!vm03', ['vm01', 'vm02']],
    ['does not mind spaces around names', ' vm01 , @db & @prod ,! vm10', ['vm01', 'vm02']],
    ['joins several expressions', ['vm01', '@db,!vm10'], ['vm01', 'vm02']],
  ]
  it.each(selections)('%s', (_sentence, expression, ids) => {
    expect(selectTargets(expression, LAB).ids).toEqual(ids)
  })

  it('leaves disabled and not allowed hosts out of groups and says why', () => {
    expect(selectTargets('@lab,@db', LAB)).toEqual({
      ids: ['vm01', 'vm02', 'vm10'],
      leftOut: [
        { id: 'vm03', reason: 'disabled in the configuration' },
        { id: 'vm04', reason: 'not in allowed_vm_ids' },
      ],
    })
  })

  it('does not mention hosts as left out that the expression excludes', () => {
    expect(selectTargets('all,!vm[03-04]', LAB).leftOut).toEqual([])
  })

  const refusals: readonly (readonly [string, string | readonly string[], string, RegExp])[] = [
    ['refuses a disabled host that is named', 'vm03', 'HOST_NOT_ALLOWED', /^vm03 is disabled in the configuration$/],
    ['refuses a not allowed host that is named', 'vm01,vm04', 'HOST_NOT_ALLOWED', /^vm04 is not in allowed_vm_ids$/],
    ['refuses a disabled host that a range names', 'vm[01-03]', 'HOST_NOT_ALLOWED', /vm03/],
    ['refuses a disabled host that is named beside its group', '@lab,vm03', 'HOST_NOT_ALLOWED', /vm03/],
    ['refuses an unknown host', 'vm05', 'HOST_UNKNOWN', /^vm05: no such host/],
    ['refuses an unknown host in a range', 'vm[01-06]', 'HOST_UNKNOWN', /^vm05, vm06: no such host/],
    ['refuses an unknown host in an exclusion', 'all,!vm05', 'HOST_UNKNOWN', /vm05/],
    ['refuses an unknown group', '@labs', 'HOST_UNKNOWN', /^@labs: no host has/],
    ['refuses an unknown group in an exclusion', 'all,!@nope', 'HOST_UNKNOWN', /@nope/],
    ['refuses the names of things that every object has', 'constructor', 'HOST_UNKNOWN', /constructor/],
    ['refuses an expression that selects nothing', 'vm01,!vm01', 'USAGE', /"vm01,!vm01" select no host$/],
    ['refuses an empty intersection', '@db&@ingest-parser', 'USAGE', /select no host$/],
    ['refuses a group of which nothing is usable', '@analysis', 'USAGE', /select no host: vm03 is disabled/],
    ['refuses an empty expression', '', 'USAGE', /character 1: a host or group is missing/],
    ['refuses an empty list', [], 'USAGE', /is missing/],
    ['refuses an empty part and names its place', 'vm01,,vm02', 'USAGE', /character 6: a host or group is missing/],
    ['refuses a trailing comma', 'vm01,', 'USAGE', /character 6/],
    ['refuses a lone exclamation mark', 'vm01,!', 'USAGE', /character 7/],
    ['refuses a lone @', '@', 'USAGE', /character 1: "@" wants/],
    ['refuses a dangling &', '@db&', 'USAGE', /character 5/],
    ['refuses ! after &', '@db&!vm03', 'USAGE', /character 5: "!" can only begin a part/],
    ['refuses hosts with a space between them', 'vm01 vm02', 'USAGE', /character 1: hosts are separated by commas/],
    ['refuses characters that no id has', 'vm01;id', 'USAGE', /a host id has letters/],
    ['refuses a wildcard', 'vm*', 'USAGE', /a host id has letters/],
    ['refuses an open bracket', 'vm[01', 'USAGE', /character 3: a bracket has no partner/],
    ['refuses a closing bracket alone', 'vm01]', 'USAGE', /character 5: a bracket/],
    ['refuses nested brackets', 'vm[[1]]', 'USAGE', /a bracket has no partner/],
    ['refuses empty brackets', 'vm[]', 'USAGE', /brackets hold numbers/],
    ['refuses letters in brackets', 'vm[a-c]', 'USAGE', /brackets hold numbers/],
    ['refuses an open range', 'vm[1-]', 'USAGE', /brackets hold numbers/],
    ['refuses a range that runs backwards', 'vm[4-1]', 'USAGE', /4-1 runs backwards/],
    ['refuses a range of mixed padding', 'vm[1-04]', 'USAGE', /same number of digits/],
    ['refuses brackets after @', '@rack[1-2]', 'USAGE', /name of one group/],
    ['refuses a range of more than 100,000', 'vm[0-100000]', 'USAGE', /more than 100000/],
    ['refuses ranges that multiply to more', 'vm[0-999][0-999]', 'USAGE', /more than 100000/],
    ['refuses ranges that add up to more', 'vm[0-99999],vm1', 'USAGE', /more than 100000/],
    ['refuses numbers beyond all bounds', 'vm[0-99999999999999999999]', 'USAGE', /brackets hold numbers/],
    ['refuses too many ranges in one bracket without expanding them', `vm[${'0-99999,'.repeat(20_000)}1]`, 'USAGE', /more than 100000/],
    ['refuses too many groups', '@db,'.repeat(100_000) + '@db', 'USAGE', /more than 100000/],
    ['shows control characters as escapes', 'vm\u001b[2J', 'USAGE', /^targets "vm\\\\x1b\[2J"/],
  ]
  it.each(refusals)('%s', (_sentence, expression, code, message) => {
    const error = failure(expression)
    expect(error.message).toMatch(message)
    expect(error.code).toBe(code)
    expect(error.message.length).toBeLessThan(400)
  })

  it('names at most five of many unknown hosts', () => {
    expect(failure('vm[100-999]').message).toBe('vm100, vm101, vm102, vm103, vm104 and 895 more: no such host in the configuration')
  })

  const hints: readonly (readonly [string, string, RegExp])[] = [
    ['suggests the nearest host', 'vm1', /Did you mean vm01\?/],
    ['suggests the group when a group is named without @', 'lab', /Did you mean @lab\?/],
    ['suggests the nearest group', '@labb', /Did you mean @lab\?/],
    ['suggests the host when a host is named with @', '@vm01', /Did you mean vm01\?/],
    ['suggests all for @all', '@all', /Did you mean all\?/],
    ['suggests nothing where nothing is near', 'zebra-crossing', /^See which there are/],
    ['says how a disabled host comes back', 'vm03', /enabled: true/],
    ['says how a host that is not allowed comes back', 'vm04', /allowed_vm_ids/],
  ]
  it.each(hints)('%s', (_sentence, expression, hint) => {
    expect(failure(expression).hint).toMatch(hint)
  })

  it.each<[unknown]>([[undefined], [null], [7], [['vm01', 7]]])('refuses %j, which gets past the types', (expression) => {
    expect(failure(expression as string)).toMatchObject({ code: 'USAGE', message: 'targets are a text, or a list of texts' })
  })

  it('puts the host into the error when there is one', () => {
    expect(failure('vm05').vmId).toBe('vm05')
    expect(failure('vm03').vmId).toBe('vm03')
    expect(failure('vm[05-06]').vmId).toBeUndefined()
  })

  it('keeps the padding over a whole fleet', () => {
    const fleet = Array.from({ length: 480 }, (_, index) => host(`vm${String(index + 1).padStart(3, '0')}`, ''))
    expect(selectTargets('vm[001-480]', fleet).ids).toEqual(fleet.map(({ id }) => id))
  })

  it('counts on to wider numbers', () => {
    const fleet = ['n8', 'n9', 'n10', 'r08', 'r09', 'r10', 'p99', 'p100'].map((id) => host(id, ''))
    expect(selectTargets('n[8-10],r[08-10],p[99-100]', fleet).ids).toEqual(fleet.map(({ id }) => id))
  })

  it('answers any text with hosts of the configuration or with an error of its own', () => {
    const token = fc.constantFrom('vm01', 'vm02', 'vm10', '@db', '@lab', 'all', '!', '&', ',', '[', ']', '1-2', '01', '-', ' ', 'x', '@')
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.array(token, { maxLength: 8 }).map((tokens) => tokens.join(''))), (expression) => {
        try {
          const { ids } = selectTargets(expression, LAB)
          expect(ids.length).toBeGreaterThan(0)
          expect(LAB.filter(({ id, state }) => ids.includes(id) && state === 'usable').map(({ id }) => id)).toEqual(ids)
        } catch (error) {
          expect(error).toBeInstanceOf(RemexError)
          expect(error).toHaveProperty('code', expect.stringMatching(/^(USAGE|HOST_UNKNOWN|HOST_NOT_ALLOWED)$/))
        }
      }),
      { numRuns: 1000 },
    )
  })
})

describe('resolveTargets', () => {
  it('gives hosts whatever their state, and an empty set where nothing matches', () => {
    expect([...resolveTargets('@lab,vm04', LAB)].sort()).toEqual(['vm01', 'vm03', 'vm04', 'vm10'])
    expect(resolveTargets('@db&@ingest-parser', LAB).size).toBe(0)
  })

  it('refuses unknown names', () => {
    expect(() => resolveTargets('@nope', LAB)).toThrow(/@nope/)
  })
})

describe('foldIds', () => {
  const folds: readonly (readonly [string, readonly string[], string])[] = [
    ['folds a run', ['vm01', 'vm02', 'vm03'], 'vm[01-03]'],
    ['keeps gaps', ['vm01', 'vm02', 'vm07'], 'vm[01-02,07]'],
    ['keeps a single host as it is', ['vm01'], 'vm01'],
    ['keeps ids without a number', ['gateway', 'vm01'], 'gateway,vm01'],
    ['folds each width of its own', ['vm9', 'vm10', 'vm8'], 'vm[8-9],vm10'],
    ['folds before a suffix', ['vm1.lab', 'vm2.lab'], 'vm[1-2].lab'],
    ['gives nothing for nothing', [], ''],
  ]
  it.each(folds)('%s', (_sentence, ids, expression) => {
    expect(foldIds(ids)).toBe(expression)
  })

  it('gives an expression that selects exactly the same hosts', () => {
    const id = fc.stringMatching(/^(vm|a-)?[0-9]{1,4}(\.x[0-9]?)?$/)
    fc.assert(
      fc.property(fc.uniqueArray(id, { minLength: 1, maxLength: 30 }), (ids) => {
        const hosts = ids.map((name) => host(name, ''))
        expect(selectTargets(foldIds(ids), hosts).ids).toEqual(ids)
      }),
    )
  })

  it('folds 480 hosts to one range', () => {
    expect(foldIds(Array.from({ length: 480 }, (_, index) => `vm${String(index + 1).padStart(3, '0')}`))).toBe('vm[001-480]')
  })
})
