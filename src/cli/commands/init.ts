import { open, readFile, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Command } from 'commander'
import { errorCode, localFileError, makeDirectories } from '../../core/atomic-file.ts'
import { printable } from '../../core/printable.ts'
import { printJson, type Door, type Start } from '../door.ts'
import { packageRoot, programName } from '../package-root.ts'

/** `remex init`. */
export function defineInit(command: Command, start: Start): void {
  command
    .description('Writes a commented configuration file to begin with: configs/config.yml, or the one of --config. One that is there is kept.')
    .addHelpText('after', EXAMPLES)
    .action(() => start(command, init))
}

async function init(door: Door): Promise<number> {
  const path = door.globals.config ?? join('configs', 'config.yml')
  const text = await readFile(join(packageRoot(), 'configs', 'config.example.yml'))
  const created = await writeNew(path, text).catch((error: unknown) => {
    throw localFileError(error, path)
  })
  if (door.globals.json) await printJson(door, { path, created })
  else await door.stdout.line(created ? writtenText(printable(path)) : `${printable(path)} is there already and was kept as it is`)
  return 0
}

function writtenText(path: string): string {
  const remex = programName()
  return `wrote ${path}\nNext: enter your hosts there, then\n  ${remex} config check\n  ${remex} hosts trust all\n  ${remex} run all -- uptime`
}

/** Whether it was made; false where something is there already. The configuration tells where everything is, so it is for its owner alone. */
async function writeNew(path: string, text: Buffer): Promise<boolean> {
  await makeDirectories(dirname(path), 0o700)
  const file = await open(path, 'wx', 0o600).catch((error: unknown) => {
    if (errorCode(error) === 'EEXIST') return undefined
    throw error
  })
  if (!file) return false
  try {
    await file.writeFile(text)
    await file.sync()
    return true
  } catch (error) {
    // Half a configuration must not stay, for the next init would keep it.
    await unlink(path).catch(() => undefined)
    throw error
  } finally {
    await file.close()
  }
}

const EXAMPLES = `
Examples:
  remex init
  remex init --config ~/.config/remex/config.yml
`
