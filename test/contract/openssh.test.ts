import { opensshEngine } from '../../src/transport/openssh/engine.ts'
import { startOpensshServer, startSshServer } from '../../testkit/index.ts'
import { connectionContract } from './connection-contract.ts'

const engine = (): ReturnType<typeof opensshEngine> => opensshEngine(process.env)

connectionContract('the openssh engine with the server of the test kit', engine, () => startSshServer())
connectionContract('the openssh engine with OpenSSH', engine, () => startOpensshServer({ hostKeyKinds: ['ed25519', 'ecdsa', 'rsa'] }))
