// Sends a file, then runs a command that uses it: deploy-file.ts <config> <targets> <local> <remote> <word>...
import { Remex } from '../src/index.ts'

const [config = '', targets = 'all', local = '', remote = '', ...words] = process.argv.slice(2)

await using remex = await Remex.open({ config })

const ready: string[] = []
for await (const { vmId, success, sha256, mode, error } of remex.hosts(targets).put(local, remote, { mode: 0o640 })) {
  if (success) ready.push(vmId)
  else process.exitCode = 1
  console.log(error ? `${vmId}: ${error.code}, the old file is untouched` : `${vmId}: mode ${mode?.toString(8) ?? '?'}, sha256 ${sha256 ?? ''}`)
}

// Only where the file is there, whole. No hosts at all is an error, so that is asked first.
for await (const { vmId, success, exitCode, error } of ready.length > 0 ? remex.hosts(ready).run(words, { timeout: '1m' }) : []) {
  console.log(`${vmId}: ${success ? 'in use' : `not in use (${error?.code ?? `exit status ${exitCode ?? ''}`})`}`)
  if (!success) process.exitCode = 1
}
