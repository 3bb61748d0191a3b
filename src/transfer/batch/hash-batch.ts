import type { TransferAccess } from '../access.ts'
import type { HostTools } from './host-tools.ts'
export interface HashBatch { readonly root: Buffer; readonly paths: readonly Buffer[]; readonly signal: AbortSignal | undefined }
export async function hashBatch(_a: TransferAccess, _t: HostTools, { paths }: HashBatch): Promise<readonly (string | null)[]> { return paths.map(() => null) }
