import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FIRST_WINDOW_BYTES, MOST_WINDOW_BYTES, ReceiveWindow } from '../../src/transport/openssh/mux/window.ts'

const KIB = 1024
const MIB = 1024 * KIB
const STEP = 256 * KIB

/** Time that a test sets, in ms. */
class Timing {
  now = 0
  roundTrip: number

  constructor(roundTrip: number) {
    this.roundTrip = roundTrip
  }

  nowMs(): number {
    return this.now
  }

  roundTripMs(): number {
    return this.roundTrip
  }
}

/** A window, and what a server that keeps to it may still send. */
class Flow {
  readonly timing: Timing
  readonly window: ReceiveWindow
  allowed = FIRST_WINDOW_BYTES

  constructor(roundTrip: number) {
    this.timing = new Timing(roundTrip)
    this.window = new ReceiveWindow(this.timing)
  }

  /** So much comes, or as much of it as is allowed; gives what was given back for it. */
  send(bytes: number): number {
    const sent = Math.min(bytes, this.allowed)
    this.allowed -= sent
    expect(this.window.take(sent)).toBe(true)
    const given = this.window.giveBack()
    this.allowed += given
    return given
  }

  /** Data comes for so long, at so many bytes in each ms, as far as it is allowed. */
  run(ms: number, bytesPerMs: number): void {
    for (let done = 0; done < ms; done++) {
      this.timing.now++
      this.send(bytesPerMs)
    }
  }
}

describe('a window', () => {
  test('takes what was allowed and not a byte more', () => {
    const window = new ReceiveWindow(new Timing(0))
    expect(window.take(FIRST_WINDOW_BYTES)).toBe(true)
    expect(window.take(1)).toBe(false)
    const other = new ReceiveWindow(new Timing(0))
    expect(other.take(FIRST_WINDOW_BYTES + 1)).toBe(false)
  })

  test('does not forget that too much came', () => {
    const window = new ReceiveWindow(new Timing(0))
    expect(window.take(0xffffffff)).toBe(false)
    expect(window.take(1)).toBe(false)
  })

  test('is given back in steps, and not for less', () => {
    const flow = new Flow(0)
    expect(flow.send(STEP - 1)).toBe(0)
    expect(flow.send(1)).toBe(STEP)
    expect(flow.send(3 * STEP)).toBe(3 * STEP)
    expect(flow.allowed).toBe(FIRST_WINDOW_BYTES)
  })

  test('does not grow on a short way, however fast data comes', () => {
    const flow = new Flow(0.2)
    flow.run(1000, 512 * KIB)
    expect(flow.allowed).toBeLessThanOrEqual(FIRST_WINDOW_BYTES)
  })

  test('does not grow without time, however much comes', () => {
    const flow = new Flow(4)
    for (let turn = 0; turn < 1000; turn++) flow.send(MIB)
    expect(flow.allowed).toBe(FIRST_WINDOW_BYTES)
  })

  test('is made four times as large at once where the way is long, before any data, and only once', () => {
    const flow = new Flow(5)
    expect(flow.window.giveBack()).toBe(3 * MIB)
    expect(flow.window.giveBack()).toBe(0)
    expect(flow.window.take(4 * MIB)).toBe(true)
    expect(flow.window.take(1)).toBe(false)
    expect(new ReceiveWindow(new Timing(4.9)).giveBack()).toBe(0)
  })

  test('is widened when it turns out that the way is long', () => {
    const flow = new Flow(0)
    flow.send(100)
    flow.timing.roundTrip = 80
    expect(flow.send(100)).toBe(3 * MIB + 200)
  })

  test('grows to twice what is under way where data comes fast over a long way, and no further', () => {
    const flow = new Flow(100)
    // 30 KiB in each ms, and 100 ms: 3000 KiB are under way.
    flow.run(2000, 30 * KIB)
    expect(flow.allowed).toBeGreaterThan(5 * MIB)
    expect(flow.allowed).toBeLessThanOrEqual(6000 * KIB)
  })

  test('grows to its limit and not beyond', () => {
    const flow = new Flow(300)
    flow.run(3000, 100 * KIB)
    expect(flow.allowed).toBeGreaterThan(MOST_WINDOW_BYTES - STEP)
    expect(flow.allowed).toBeLessThanOrEqual(MOST_WINDOW_BYTES)
  })

  test('grows by no more than what came in', () => {
    const flow = new Flow(200)
    flow.window.giveBack()
    flow.allowed = 4 * MIB
    flow.run(500, 20 * KIB)
    const before = flow.allowed
    const given = flow.send(STEP)
    expect(given).toBeLessThanOrEqual(2 * STEP)
    expect(flow.allowed).toBeLessThanOrEqual(before + STEP)
  })

  test('stays as it is when data comes slowly after a time when it came fast: what was allowed is not taken away', () => {
    const flow = new Flow(100)
    flow.run(1000, 60 * KIB)
    const { allowed } = flow
    flow.run(5000, 1)
    expect(flow.allowed).toBeGreaterThan(allowed - STEP)
  })

  test('never lets a server that keeps to it be taken for one that does not, nor one that does not for one that does', () => {
    const turn = fc.record({ bytes: fc.integer({ min: 0, max: 3 * MIB }), ms: fc.integer({ min: 0, max: 200 }), roundTrip: fc.integer({ min: 0, max: 300 }) })
    fc.assert(fc.property(fc.array(turn, { maxLength: 60 }), (turns) => {
      const flow = new Flow(0)
      for (const { bytes, ms, roundTrip } of turns) {
        flow.timing.now += ms
        flow.timing.roundTrip = roundTrip
        expect(flow.send(bytes)).toBeGreaterThanOrEqual(0)
        expect(flow.allowed).toBeLessThanOrEqual(MOST_WINDOW_BYTES)
      }
      expect(flow.window.take(flow.allowed + 1)).toBe(false)
    }), { numRuns: 300 })
  })
})
