import type { OpenSSHAgent, ParsedKey } from 'ssh2'
import type { Ssh2 } from './load.ts'

/** The keys that the agent at this socket has, of the types that ssh2 knows. Rejects where it cannot be asked. */
export function listAgentKeys(ssh2: Ssh2, socketPath: string): Promise<readonly ParsedKey[]> {
  return new Promise((resolve, reject) => {
    new ssh2.OpenSSHAgent(socketPath).getIdentities((error, keys) => {
      if (error) reject(error)
      // The types allow for keys with a wrapper around them; this agent gives none.
      else resolve((keys ?? []).filter((key): key is ParsedKey => 'getPublicSSH' in key))
    })
  })
}

/** A `sign` for ssh2 that lets the agent sign with this key and this algorithm, whatever ssh2 asks for. */
export function signWithAgent(ssh2: Ssh2, from: { socketPath: string; key: ParsedKey; algorithm: string }): OpenSSHAgent['sign'] {
  const agent = new ssh2.OpenSSHAgent(from.socketPath)
  return (_key: unknown, data: Buffer, options?: unknown, done?: unknown) => {
    const answer = typeof options === 'function' ? options : done
    agent.sign(from.key, data, hashOption(from.algorithm), (error, signature) => {
      if (typeof answer === 'function') Reflect.apply(answer, undefined, [error, signature])
    })
    return true
  }
}

function hashOption(algorithm: string): { hash?: 'sha256' | 'sha512' } {
  if (algorithm === 'rsa-sha2-256') return { hash: 'sha256' }
  return algorithm === 'rsa-sha2-512' ? { hash: 'sha512' } : {}
}
