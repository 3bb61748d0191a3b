import { quoteWord } from '../../core/quote.ts'
import type { ConnectionInfo } from '../../transport/contract.ts'
import { ok, warning, type Judgement } from './finding.ts'

/** What was negotiated, judged. `id` is the host's. */
export function judgeConnection(info: ConnectionInfo, id: string): readonly Judgement[] {
  return [algorithms(info), postQuantum(info, id), hostKey(info)]
}

function algorithms({ engine, kex, cipher, mac, hostKey: { type } }: ConnectionInfo): Judgement {
  return ok('algorithms', [kex, cipher, ...(mac === '' ? [] : [mac]), type, `by ${engine}`].join(', '))
}

/** Nothing fails for it: whoever insists sets require_post_quantum, and is then not connected at all. */
function postQuantum({ engine, kex, postQuantum: state }: ConnectionInfo, id: string): Judgement {
  if (state === 'used') return ok('post_quantum', `${kex} withstands quantum computers`)
  const risk = `${kex} does not withstand quantum computers: what is recorded today may be read one day`
  const update = `update the SSH server on ${id}: OpenSSH 9.0 or later has one`
  if (state === 'offered') return warning('post_quantum', `${risk}; the server has a key exchange that does`, `Set engine: openssh for ${quoteWord(id)}, or for all hosts require_post_quantum: true.`)
  if (engine === 'openssh') return warning('post_quantum', `${risk}; the server has none that does, or none that the ssh of this machine knows`, `First ssh -V, which is to be 9.0 or later; then ${update}.`)
  return warning('post_quantum', `${risk}; the server has none that does`, `${update.charAt(0).toUpperCase()}${update.slice(1)}.`)
}

function hostKey({ hostKey: { type, fingerprint, authority } }: ConnectionInfo): Judgement {
  return ok('host_key', `${type} ${fingerprint}${authority === undefined ? '' : `, certified by ${authority}`}`)
}
