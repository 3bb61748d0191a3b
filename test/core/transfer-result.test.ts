import { describe, expect, it } from 'vitest'
import { remexError } from '../../src/core/errors.ts'
import { TransferResult, type TransferFacts, type TreeFacts } from '../../src/core/transfer-result.ts'

const FILE: TransferFacts = {
  vmId: 'vm01', operation: 'upload', local: 'a', remote: 'b', sizeBytes: 3, sha256: 'ab', verified: true, mode: 0o640, resumedFromBytes: 0,
  tree: null, executionTime: 0.5, timestamp: '2026-01-31T12:00:00.000Z', attempts: 1, engine: 'ssh2', hostKey: 'SHA256:x', error: null,
}
const moved = (path: Buffer): { path: Buffer; sizeBytes: number; sha256: string; mode: number; verified: boolean } => ({ path, sizeBytes: 1, sha256: 'cd', mode: 0o644, verified: true })
const tree = (files: readonly Buffer[]): TreeFacts => ({
  files: Object.assign(files.map(moved), { size: files.length }), unchanged: 4, directories: 1, links: 0, deleted: 2, skipped: 0, failed: 1,
  failures: [{ path: 'x', error: remexError('PERMISSION_DENIED', 'no') }],
})

describe('the result of a transfer', () => {
  it.each([
    ['a file', FILE],
    ['a tree of nothing', { ...FILE, tree: tree([]) }],
    ['a tree', { ...FILE, tree: tree([Buffer.from('a"b\n'), Buffer.from([0xff, 0x41])]) }],
    ['a failure', { ...FILE, error: remexError('NO_SPACE', 'full') }],
  ])('is the same text in pieces as in one, for %s', (_what, facts) => {
    const result = new TransferResult(facts)
    expect([...result.jsonText()].join('')).toBe(JSON.stringify(result))
  })

  it('has the bytes of a path that is not text', () => {
    const { files } = new TransferResult({ ...FILE, tree: tree([Buffer.from([0x61, 0xff])]) }).toJSON()
    expect(files).toEqual([{ path: 'a\uFFFD', path_base64: 'Yf8=', size_bytes: 1, sha256: 'cd', mode: '0644', verified: true }])
  })
})
