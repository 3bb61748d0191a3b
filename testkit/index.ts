/** What `remex/testkit` offers: real and misbehaving SSH servers, a misbehaving network, and time that stands still. */
export { until, type Truthy, type UntilOptions } from './until.ts'
export { makeKeyPair, type KeyKind, type KeyPair, type KeyPairOptions } from './keys.ts'
export { startSshServer, type SshServerOptions, type TestHost, type TestHostKey, type TestSshServer } from './ssh-server.ts'
export type { TestLogin } from './ssh-login.ts'
export { startOpensshServer, type OpensshServer, type OpensshServerOptions } from './openssh-server.ts'
export type { Skipped } from './daemon.ts'
export type { TestUser } from './test-user.ts'
