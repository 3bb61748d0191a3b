// Many SSH servers of the test kit in one process, for a client in another: argument 1 says how many, argument 2 names a
// directory for the files they leave. Writes `ready` when all of them listen, and ends when its stdin does.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { argv, exit, stdin, stdout } from 'node:process'
import { makeKeyPair, startSshServer } from '../../../dist/testkit.js'

const [count, folder] = [Number(argv[2]), argv[3]]
const [client, hostKey] = [makeKeyPair(), makeKeyPair()]
const options = { hostKeys: [hostKey.privateKey], users: [{ name: 'tester', publicKeys: [client.publicKey] }], env: { HOME: folder }, sftp: 'own' }
const servers = []
while (servers.length < count) servers.push(await startSshServer(options))
await writeFile(join(folder, 'key'), client.privateKey, { mode: 0o600 })
await writeFile(join(folder, 'known_hosts'), servers.map(({ knownHosts }) => knownHosts).join(''))
await writeFile(join(folder, 'ports.json'), JSON.stringify(servers.map(({ port }) => port)))
// Closing each of them would look through all processes of the machine for what it left, thousands of times.
stdin.resume().on('end', () => exit(0))
stdout.write('ready\n')
