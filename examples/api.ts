// The library in one page: api.ts <config> <host> <directory on the host>
import { Remex } from '../src/index.ts'

const [config = 'configs/config.yml', id = 'vm01', directory = '/srv'] = process.argv.slice(2)

await using remex = await Remex.open({ config, user: 'operator' })
const vm01 = remex.host(id)

const result = await vm01.run('echo hello; exit 3', { timeout: '30s' }) // shell text
console.log(result.stdout, result.exitCode, result.success)

await vm01.run(['df', '-h', directory]) // words: the shell interprets nothing

const pattern = 'two words; rm -rf /'
const { exitCode } = await vm01.$`printf '%s\n' nothing | grep -c ${pattern}` // each ${} is one quoted word
console.log('grep ended with', exitCode)

for await (const line of vm01.$`seq 1 1000000`) { // lines as they come; leaving the loop ends it on the host
  if (line === '3') break
  console.log('line', line)
}

const receipt = await vm01.put(config, `${directory}/copy.txt`, { mode: 0o640 })
console.log(receipt.verified, receipt.sizeBytes, receipt.sha256)

for await (const report of remex.hosts('all,!vm03').run('uptime')) { // each host's as it finishes; never throws for a host
  console.log(report.vmId, report.ended, report.error?.code ?? report.exitCode)
}
