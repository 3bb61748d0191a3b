import type { Command } from 'commander'
import type { Start } from '../door.ts'
import { TARGETS } from '../run-options.ts'
import { subcommand } from '../subcommand.ts'
import { fingerprintText, wholeNumber } from '../values.ts'
import { checkHosts, type CheckFlags } from './hosts-check.ts'
import { forgetHosts, type ForgetFlags } from './hosts-forget.ts'
import { listHosts } from './hosts-list.ts'
import { rotateHosts, type RotateFlags } from './hosts-rotate.ts'
import { trustHosts, type TrustFlags } from './hosts-trust.ts'

/** `remex hosts`. */
export function defineHosts(command: Command, start: Start): void {
  command.description('The hosts of the configuration, and the keys by which they are known.').addHelpText('after', EXAMPLES)
  const list = subcommand(command, 'list', 'Lists hosts, also those that are disabled; connects to nothing.')
    .argument('[targets]', TARGETS)
    .addHelpText('after', '\nExample:\n  remex hosts list @lab\n')
  list.action((targets: string | undefined) => start(list, (door) => listHosts(door, targets)))

  const check = subcommand(command, 'check', 'Connects and logs in, and does nothing else.')
    .argument('<targets>', TARGETS)
    .option('--parallel <n>', 'hosts at a time (default: max_parallel_commands, 32)', wholeNumber('--parallel', 1))
    .addHelpText('after', '\nExample:\n  remex hosts check all\n')
  check.action((targets: string, flags: CheckFlags) => start(check, (door) => checkHosts(door, targets, flags)))

  const trust = subcommand(command, 'trust', 'Fetches the keys that hosts show, asks, and trusts them from now on. Keys that the configuration or a certificate authority vouches for need no question. A key that contradicts a known one is refused.')
    .argument('<targets>', TARGETS)
    .option('--fingerprint <fingerprint>', 'trust exactly this key, SHA256:…, of exactly one host', fingerprintText)
    .option('--ca <file>', 'trust what an authority in this file signed, and the authority: its public key, or @cert-authority lines')
    .option('--yes', 'trust without asking: whoever answers now is believed')
    .addHelpText('after', '\nExamples:\n  remex hosts trust vm01\n  remex hosts trust vm01 --fingerprint SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDYOBXaYvJkPEhJZ1E\n  remex hosts trust @lab --ca host_ca.pub\n')
  trust.action((targets: string, flags: TrustFlags) => start(trust, (door) => trustHosts(door, targets, flags)))

  const rotate = subcommand(command, 'rotate', 'Adds the keys that hosts prove to have, over connections that known keys authenticate, and removes those that they have no more.')
    .argument('<targets>', TARGETS)
    .option('--dry-run', 'only show what would change')
    .addHelpText('after', '\nExamples:\n  remex hosts rotate all --dry-run\n  remex hosts rotate @lab\n')
  rotate.action((targets: string, flags: RotateFlags) => start(rotate, (door) => rotateHosts(door, targets, flags)))

  const forget = subcommand(command, 'forget', 'Takes the keys of hosts out of the known_hosts files.')
    .argument('<targets>', TARGETS)
    .option('--yes', 'do not ask')
    .addHelpText('after', '\nExample:\n  remex hosts forget vm01\n')
  forget.action((targets: string, flags: ForgetFlags) => start(forget, (door) => forgetHosts(door, targets, flags)))
}

const EXAMPLES = `
Examples:
  remex hosts list
  remex hosts check @lab
  remex hosts trust vm01
  remex hosts rotate @lab
  remex hosts forget vm01
`
