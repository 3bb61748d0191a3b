import { remexError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import { withRemex, type Door } from '../door.ts'

/** `remex audit anchor`: one line of JSON in either form, to be sent elsewhere as it is. */
export async function printAnchor(door: Door): Promise<number> {
  return withRemex(door, async (remex) => {
    await door.stdout.line(JSON.stringify(await remex.anchor()))
    return 0
  })
}

/** `remex audit public-key`. */
export async function printPublicKey(door: Door): Promise<number> {
  return withRemex(door, async ({ config: { settings } }) => {
    const [{ auditFiles }, { publicKeyText }] = await Promise.all([import('../../audit/files.ts'), import('../../audit/signing.ts')])
    const { publicKey } = auditFiles(settings.auditPath)
    const pem = publicKeyText(publicKey)
    if (pem === undefined) {
      throw remexError('AUDIT_UNAVAILABLE', `the audit log has no key yet: ${printable(publicKey)} is not there`, { hint: 'It is made with the first record: remex audit anchor' })
    }
    await door.stdout.line(pem.trimEnd())
    return 0
  })
}
