/**
 * What `remex/testkit` offers: real and misbehaving SSH servers, a misbehaving network, and time that stands still.
 * Everything listens on loopback only, and is gone when it is closed. Not a stable API.
 */

// Waiting and time
export { FakeClock } from './fake-clock.ts'
export { until, type Truthy, type UntilOptions } from './until.ts'

// Keys
export { makeKeyPair, type KeyKind, type KeyPair, type KeyPairOptions } from './keys.ts'
export { startSecurityKeyAgent, type SecurityKeyAgent } from './security-key.ts'

// Servers
export { startSshServer, type SshServerOptions, type TestHost, type TestHostKey, type TestSshServer } from './ssh-server.ts'
export type { TestLogin } from './ssh-login.ts'
export { startOpensshServer, type OpensshServer, type OpensshServerOptions } from './openssh-server.ts'
export { startDropbearServer, type DropbearServer, type DropbearServerOptions } from './dropbear-server.ts'
export type { Skipped } from './daemon.ts'
export type { TestUser } from './test-user.ts'

// Faults
export {
  changedHostKey,
  closesBeforeBanner,
  closesDuringAuthentication,
  delays,
  dropsAfterExecStarted,
  dropsBeforeExecReply,
  floods,
  neverReplies,
  offersOnlyWeakAlgorithms,
  refusesConnection,
  refusesEleventhSession,
  rejectsAuthentication,
  revokedHostKey,
  rsa1024HostKey,
  sendsGarbageBanner,
  silentAfterAccept,
  stopsReading,
  type DistrustedServer,
  type FaultServer,
} from './fault-servers.ts'
export type { AuthenticationFault } from './ssh-connection.ts'
export type { ExecFault } from './ssh-session.ts'

// The network
export { startNetwork, type NetworkOptions, type TestNetwork } from './network.ts'
export type { Direction } from './network-conditions.ts'
