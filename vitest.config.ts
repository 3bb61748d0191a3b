import { defineConfig } from 'vitest/config'

// Slow machines and many test files at once make single steps slow; a test that hangs still ends.
const common = { testTimeout: 30_000, hookTimeout: 30_000 }

export default defineConfig({
  test: {
    projects: [
      // One worker for all, because loading the TypeScript compiler takes longer than every test here.
      { test: { ...common, name: 'house', include: ['test/house/**/*.test.ts'], maxWorkers: 1, isolate: false, sequence: { groupOrder: 0 } } },
      // More than there are cores: most tests wait, for servers and deadlines.
      { test: { ...common, name: 'main', include: ['test/**/*.test.ts'], exclude: ['test/house/**'], maxWorkers: 4, sequence: { groupOrder: 1 } } },
    ],
  },
})
