// A check for a scheduler, as every five minutes: health-check.ts <config> <targets> <shell text>
// One JSON line for each host on stdout; exit status 0 when all are healthy.
import { Remex, type RunResult } from '../src/index.ts'

const [config = '', targets = 'all', check = 'true'] = process.argv.slice(2)

/** A host that nobody could ask is not the same as one that is ill. */
function stateOf({ success, ended, error }: RunResult): string {
  if (success) return 'healthy'
  if (ended === 'exited') return 'unhealthy'
  return error?.code === 'UNREACHABLE' || error?.code === 'CONNECT_TIMEOUT' ? 'unreachable' : 'unknown'
}

await using remex = await Remex.open({ config, user: 'health-check' })

for await (const result of remex.hosts(targets).run(check, { timeout: '20s', idempotent: true })) {
  const { vmId, exitCode, error, executionTime, timestamp } = result
  const state = stateOf(result)
  console.log(JSON.stringify({ vm_id: vmId, state, exit_code: exitCode, error: error?.code ?? null, execution_time: executionTime, timestamp }))
  if (state !== 'healthy') process.exitCode = 1
}
