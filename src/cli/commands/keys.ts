import type { Command } from 'commander'
import type { Start } from '../door.ts'
import { TARGETS } from '../run-options.ts'
import { subcommand } from '../subcommand.ts'
import { fingerprintText, wholeNumber } from '../values.ts'
import { hardenHosts, pruneKeys, revokeKeys, rotateKeys, type ChangeFlags, type RevokeFlags, type SureFlags } from './keys-change.ts'
import { setUpKeys, type SetupFlags } from './keys-setup.ts'
import { showKeyStatus, type KeyStatusFlags } from './keys-status.ts'

/** `remex keys`. */
export function defineKeys(command: Command, start: Start): void {
  command.description('The keys by which Remex logs in: made, deployed, proved, replaced.').addHelpText('after', EXAMPLES)
  const setup = withParallel(subcommand(command, 'setup', 'From nothing to access by key: enrols the host key, makes an Ed25519 key, deploys it by an access that works or by password, and proves the login. Safe to repeat.'))
    .argument('<targets>', TARGETS)
    .option('--password-stdin', 'read the password of the logins from the first line of standard input')
    .option('--fingerprint <fingerprint>', 'trust exactly this host key, SHA256:…, of exactly one host', fingerprintText)
    .option('--yes', 'trust host keys that nobody has vouched for without asking: whoever answers now is believed')
    .addHelpText('after', '\nExamples:\n  remex keys setup vm01\n  remex keys setup all --password-stdin --yes <password.txt\n')
  setup.action((targets: string, flags: SetupFlags) => start(setup, (door) => setUpKeys(door, targets, flags)))

  const status = withParallel(subcommand(command, 'status', 'Shows the key of each host, its age, and who else is in its authorized_keys. Exit status 1 where a key is due (key_rotation_days).'))
    .argument('[targets]', `${TARGETS} (default: all)`)
    .addHelpText('after', '\nExamples:\n  remex keys status\n  remex keys status @lab --json\n')
  status.action((targets: string | undefined, flags: KeyStatusFlags) => start(status, (door) => showKeyStatus(door, targets, flags)))

  const rotate = withParallel(subcommand(command, 'rotate', 'Replaces keys: the new one is added and proved by a login before the old one is taken out. Old key files are put aside.'))
    .argument('<targets>', TARGETS)
    .addHelpText('after', '\nExample:\n  remex keys rotate all\n')
  rotate.action((targets: string, flags: ChangeFlags) => start(rotate, (door) => rotateKeys(door, targets, flags)))

  const revoke = withParallel(subcommand(command, 'revoke', 'Takes keys out of the authorized_keys of hosts: their own, which Remex logs in by, or one that --fingerprint names.'))
    .argument('<targets>', TARGETS)
    .option('--fingerprint <fingerprint>', 'revoke this key, SHA256:…, as keys status shows it', fingerprintText)
    .option('--yes', 'do not ask')
    .addHelpText('after', '\nExamples:\n  remex keys revoke vm01\n  remex keys revoke all --fingerprint SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDYOBXaYvJkPEhJZ1E --yes\n')
  revoke.action((targets: string, flags: RevokeFlags) => start(revoke, (door) => revokeKeys(door, targets, flags)))

  const harden = withParallel(subcommand(command, 'harden', 'Lets sshd accept keys alone, by a drop-in file; proves it by new connections. The host undoes it by itself after 60 s without that proof.'))
    .argument('<targets>', TARGETS)
    .option('--yes', 'do not ask')
    .addHelpText('after', '\nExample:\n  remex keys harden vm01\n')
  harden.action((targets: string, flags: SureFlags) => start(harden, (door) => hardenHosts(door, targets, flags)))

  const prune = subcommand(command, 'prune', 'Destroys old keys that were put aside by rotate and revoke.')
    .argument('[targets]', `${TARGETS} (default: all)`)
    .option('--yes', 'do not ask')
    .addHelpText('after', '\nExample:\n  remex keys prune --yes\n')
  prune.action((targets: string | undefined, flags: SureFlags) => start(prune, (door) => pruneKeys(door, targets, flags)))
}

function withParallel(command: Command): Command {
  return command.option('--parallel <n>', 'hosts at a time (default: max_parallel_commands, 32)', wholeNumber('--parallel', 1))
}

const EXAMPLES = `
Examples:
  remex keys setup all
  remex keys status
  remex keys rotate vm01
  remex keys harden vm01
`
