import { afterEach, beforeEach, vi } from 'vitest'

/** What is printed on stdout in the test that runs; it goes nowhere else. */
export interface Printed {
  readonly text: string
  /** Of JSON Lines. */
  readonly lines: () => readonly unknown[]
}

/** Takes what each test of the suite prints. */
export function takePrinted(): Printed {
  const printed = { text: '', lines: () => printed.text.trimEnd().split('\n').map((line): unknown => JSON.parse(line)) }
  beforeEach(() => {
    printed.text = ''
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      printed.text += String(text)
      return true
    })
  })
  afterEach(() => {
    vi.restoreAllMocks()
  })
  return printed
}
