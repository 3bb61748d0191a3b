import * as crypto from 'node:crypto'

/** SHA-256 of a small content, hexadecimal; by the call that makes no object for it, where Node has that (20.12). */
export const sha256Of: (content: Buffer) => string =
  typeof crypto.hash === 'function' ? (content) => crypto.hash('sha256', content, 'hex') : (content) => crypto.createHash('sha256').update(content).digest('hex')
