/** How long the event loop may be held at a time: others are to have their turn. */
const BUDGET_MS = 8
/** Where others hold it longer, what passes here gets as much as they, but no more than this. */
const MOST_MS = 40

/** Lets steps pass a few at a time, so that many of them never hold the event loop for long. */
export class Turnstile {
  #waiting: (() => void)[] = []
  #isOpen = false
  #closedAtMs = 0

  /** Does `step` soon, in the order in which they came. */
  pass(step: () => void): void {
    this.#waiting.push(step)
    if (this.#isOpen) return
    this.#isOpen = true
    this.#closedAtMs = performance.now()
    setImmediate(this.#letThrough)
  }

  /** Does `work` soon, and gives what it came to. */
  do<T>(work: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.pass(() => {
        try {
          resolve(work())
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)))
        }
      })
    })
  }

  readonly #letThrough = (): void => {
    const nowMs = performance.now()
    const untilMs = nowMs + Math.min(MOST_MS, Math.max(BUDGET_MS, nowMs - this.#closedAtMs))
    let passed = 0
    for (const step of this.#waiting) {
      if (passed > 0 && performance.now() >= untilMs) break
      passed++
      step()
    }
    this.#waiting = this.#waiting.slice(passed)
    this.#isOpen = this.#waiting.length > 0
    this.#closedAtMs = performance.now()
    if (this.#isOpen) setImmediate(this.#letThrough)
  }
}
