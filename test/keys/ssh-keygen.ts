import { spawnSync } from 'node:child_process'

/** Whether OpenSSH's ssh-keygen is installed; without it, what is cross-checked with it is skipped. */
export const hasSshKeygen = spawnSync('ssh-keygen', ['-?']).error === undefined
