import { describe } from 'vitest'
import type { Engine } from '../../src/transport/contract.ts'
import type { Skipped, TestHost } from '../../testkit/index.ts'
import { channelContract } from './channel-contract.ts'
import { contractCase } from './contract-server.ts'
import { lifeContract } from './life-contract.ts'
import { streamContract } from './stream-contract.ts'
import { trustContract } from './trust-contract.ts'

/**
 * What every engine keeps, of `src/transport/contract.ts`. The server has the default limit of 10 sessions, runs commands
 * with a POSIX shell as an ordinary login would, and has the `sftp` subsystem.
 */
export function connectionContract(name: string, makeEngine: () => Engine, makeServer: () => Promise<TestHost | Skipped>): void {
  describe(name, () => {
    const subject = contractCase(makeEngine(), makeServer)
    channelContract(subject)
    streamContract(subject)
    lifeContract(subject)
    trustContract(subject)
  })
}
