import type { BeginFields, FinishFields } from '../../src/audit/log.ts'

/** An operation as most are: what its begin record says, by its number. */
export function begun(number: number): BeginFields {
  return {
    run_id: `run-${number}`,
    user_id: 'operator',
    vm_id: `vm${String((number % 100) + 1).padStart(3, '0')}`,
    address: '10.0.0.10',
    login: 'operator',
    operation: 'run',
    command: `systemctl status service-${number % 7}`,
    env_names: ['LANG'],
  }
}

/** How it ends. */
export const ENDED: FinishFields = {
  status: 'success',
  ended: 'exited',
  exit_code: 0,
  error_code: null,
  execution_time: 0.043,
  attempts: 1,
  engine: 'ssh2',
  kex: 'curve25519-sha256',
  cipher: 'aes256-gcm@openssh.com',
  host_key: 'SHA256:uNiVztksCsDhcc0u9e8BrYJb2q4GeVsMwCbIPLzVfC8',
  stdout_bytes: 6,
  stderr_bytes: 0,
}
