import { opensshEngine } from '../../src/transport/openssh/engine.ts'
import { startOpensshServer } from '../../testkit/index.ts'
import { connectionContract } from './connection-contract.ts'

connectionContract('the openssh engine with OpenSSH', () => opensshEngine(process.env), () => startOpensshServer({ hostKeyKinds: ['ed25519', 'ecdsa', 'rsa'] }))
