import type { ConnectionInfo } from '../transport/contract.ts'

/**
 * How many sessions a server is given at a time on one connection. For Dropbear one: when a process ends while another session is being
 * opened, Dropbear closes that one, and then may run its command all the same. Others say themselves when it is enough.
 * Source: Dropbear 2022.82 to 2026.94, `sesscheckclose` and `channelio`, which checks all channels at SIGCHLD, also those that have no
 * process yet.
 */
export function sessionLimit({ serverVersion }: Pick<ConnectionInfo, 'serverVersion'>): number {
  return serverVersion.startsWith('SSH-2.0-dropbear') ? 1 : Infinity
}
