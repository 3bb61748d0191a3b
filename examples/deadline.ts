// What a deadline does: deadline.ts <config> <host>
import { Remex } from '../src/index.ts'

const [config = '', id = 'vm01'] = process.argv.slice(2)

await using remex = await Remex.open({ config })

// A child in a session of its own that ignores TERM: closing the connection would leave it running.
const stubborn = `echo started; setsid sh -c 'trap "" TERM; sleep 300' & sleep 300`
const { ended, killed, stdout, error } = await remex.host(id).run(stubborn, { timeout: '1s' })

console.log(`${ended}: ${error?.message ?? ''}`)
console.log(`output so far: ${stdout.trim()}`)
console.log(`ended on the host: ${killed?.ended ?? 0}, still there: ${killed?.survivors.length ?? 'unknown'}, looked at: ${killed?.scope ?? ''}`)
