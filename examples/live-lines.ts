// Follows a log until a line has the word: live-lines.ts <config> <host> <path> <word>
import { Remex } from '../src/index.ts'

const [config = '', id = 'vm01', path = '', word = 'ready'] = process.argv.slice(2)

await using remex = await Remex.open({ config })

for await (const line of remex.host(id).$`tail -n +1 -f ${path}`) {
  console.log(line)
  // Leaving the loop ends tail on the host, and waits until it is gone.
  if (line.includes(word)) break
}
console.log(`found ${word}`)
