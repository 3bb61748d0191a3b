import type { Entry } from '../bench.ts'
import { wholeProcess } from '../lib/whole-process.ts'
import { makePlace } from './place.ts'

/** A new connection and one command: what a script that does one thing pays. */
export const connectRow: Entry = {
  id: 'connect',
  async open() {
    const place = await makePlace()
    return {
      id: 'connect',
      title: 'Connect and run `true`: the library against a whole `ssh` process',
      unit: 'ms',
      goal: { contender: 'remex library', of: 'ratio', atMost: 0.5 },
      contenders: [
        { name: 'ssh', run: async () => (await wholeProcess({ argv: [...place.ssh, 'true'] })).wallMs },
        {
          name: 'remex library',
          async run() {
            await using remex = await place.open()
            const startMs = performance.now()
            await remex.host('vm01').run('true')
            return performance.now() - startMs
          },
        },
      ],
      [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
    }
  },
}
