import * as z from 'zod/mini'
import { SECTIONS } from './schema.ts'

/** The JSON Schema (draft 2020-12) of a configuration file, for editors. Sections of other programs are let through. */
export function configJsonSchema(): object {
  const { vms, remote_execution, policy } = SECTIONS
  const file = z.looseObject({ vms, remote_execution: z.optional(z.nullable(remote_execution)), policy: z.optional(policy) })
  return { ...z.toJSONSchema(file, { io: 'input' }), title: 'Remex configuration' }
}
