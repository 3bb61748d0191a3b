// The same command on many hosts: run-everywhere.ts <config> <targets> <word>...
import { Remex } from '../src/index.ts'

const [config = '', targets = 'all', ...words] = process.argv.slice(2)

await using remex = await Remex.open({ config })
const group = remex.hosts(targets)
for (const { id, reason } of group.leftOut) console.error(`${id} is left out: it is ${reason}`)

const failed: string[] = []
for await (const { vmId, success, ended, exitCode, error, stdout } of group.run(words, { timeout: '1m', parallel: 8 })) {
  if (!success) failed.push(vmId)
  console.log(`${vmId}: ${ended === 'exited' ? `exit status ${exitCode ?? ''}` : `${ended} (${error?.code ?? ''})`}`)
  for (const line of stdout.trimEnd().split('\n').filter(Boolean)) console.log(`  ${line}`)
}
console.log(`${group.ids.length} hosts, ${failed.length} failed`)
process.exitCode = failed.length === 0 ? 0 : 1
