import type { Command } from 'commander'
import type { Start } from '../door.ts'

/** `remex demo`. */
export function defineDemo(command: Command, start: Start): void {
  command
    .description('Shows the main job on four SSH servers of its own on loopback. Needs no configuration; leaves nothing behind.')
    .option('--keep', 'leave the servers up until Ctrl-C, and say how to use them')
    .addHelpText('after', '\nExamples:\n  remex demo\n  remex demo --keep\n')
    .action((flags: { readonly keep?: boolean }) =>
      start(command, async (door) => {
        const { showDemo } = await import('../demo.ts')
        return showDemo(door, { keep: flags.keep === true })
      }),
    )
}
