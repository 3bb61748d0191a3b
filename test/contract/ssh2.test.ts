import { ssh2Engine } from '../../src/transport/ssh2/engine.ts'
import { startOpensshServer, startSshServer } from '../../testkit/index.ts'
import { connectionContract } from './connection-contract.ts'

connectionContract('the ssh2 engine with the server of the test kit', ssh2Engine, () => startSshServer())
connectionContract('the ssh2 engine with OpenSSH', ssh2Engine, () => startOpensshServer({ hostKeyKinds: ['ed25519', 'ecdsa', 'rsa'] }))
