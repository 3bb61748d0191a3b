import { foldIds } from '../../core/fold.ts'
import { quoteWord } from '../../core/quote.ts'
import { parseCertificate, type Certificate } from '../../keys/user-certificate.ts'
import { ok, skipped, warning, type Judgement } from './finding.ts'
import type { KeyLook } from './key-looks.ts'

const DAY_MS = 86_400_000
/** Time enough to have a key signed again. */
const SOON_MS = 7 * DAY_MS
/** The last that has four digits of a year: an authority may write any number. */
const LATEST_MS = Date.UTC(9999, 11, 31, 23, 59)
/** A certificate may have hundreds. */
const MOST_PRINCIPALS = 8
const LONGEST_PRINCIPAL = 64

/** The certificate of one host's key. */
interface Holding {
  readonly look: KeyLook
  /** The name of its file. */
  readonly label: string
  readonly certificate: Certificate
}

/** What is wrong with a certificate, without the hosts that it is for. */
interface Trouble {
  readonly what: string
  readonly hint: string
}

/**
 * What shows of user certificates ahead of a login: whether they are for now, and for the login of their host. Nothing fails for it: the
 * last word is the server's, whose clock and authorities count, and the key may open the host without a certificate.
 */
export function certificatesCheck(looks: readonly KeyLook[], nowMs: number): readonly Judgement[] {
  const holdings = looks.filter(({ host }) => host.engine !== 'ssh2').flatMap(holdingsOf)
  if (holdings.length === 0) return [skipped('certificates', 'no key has a user certificate, and none needs one')]
  const wrong = troubled(holdings, nowMs)
  if (wrong.length > 0) return wrong
  const expires = Math.min(...holdings.map(({ certificate }) => certificate.validBeforeMs))
  const hosts = `${holdings.length} of ${looks.length} hosts have a user certificate`
  return [ok('certificates', `${hosts}; ${expires === Infinity ? 'none of them expires' : `the first expires ${shownTime(expires)}`}`)]
}

function holdingsOf(look: KeyLook): readonly Holding[] {
  return look.identities.flatMap((identity) => {
    const named = identity.kind === 'password' ? undefined : identity.certificate
    const certificate = named && parseCertificate(named.blob)
    return named && certificate ? [{ look, label: named.label, certificate }] : []
  })
}

/** Hosts that share a certificate share what is wrong with it. */
function troubled(holdings: readonly Holding[], nowMs: number): readonly Judgement[] {
  const found = new Map<string, { readonly label: string; readonly trouble: Trouble; readonly ids: string[] }>()
  for (const holding of holdings) {
    const { look: { host }, label } = holding
    for (const trouble of [outOfTime(holding, nowMs), forOthers(holding)].filter((one) => one !== undefined)) {
      const key = JSON.stringify([label, trouble])
      const same = found.get(key) ?? { label, trouble, ids: [] }
      same.ids.push(host.id)
      found.set(key, same)
    }
  }
  return [...found.values()].map(({ label, trouble: { what, hint }, ids }) => warning('certificates', `the certificate ${label} of ${foldIds(ids)} ${what}`, hint))
}

function outOfTime({ look: { host }, certificate: { validAfterMs, validBeforeMs, principals } }: Holding, nowMs: number): Trouble | undefined {
  const hint = signAgain(principals.length === 0 ? [host.login] : principals)
  if (nowMs >= validBeforeMs) return { what: `expired ${shownTime(validBeforeMs)}`, hint }
  if (nowMs < validAfterMs) return { what: `is not valid before ${shownTime(validAfterMs)}`, hint: `It may be the clock of this machine: date -u. Else: ${hint}` }
  if (validBeforeMs - nowMs >= SOON_MS) return undefined
  return { what: `expires ${shownTime(validBeforeMs)}, in less than ${Math.ceil((validBeforeMs - nowMs) / DAY_MS)} d`, hint }
}

/** Without any, what it is for is the server's decision. */
function forOthers({ look: { host }, certificate: { principals } }: Holding): Trouble | undefined {
  const { login, sshConfig } = host
  const isLoginKnown = sshConfig === undefined || sshConfig.ownsLogin
  if (!isLoginKnown || principals.length === 0 || principals.includes(login)) return undefined
  const hint = `Set ssh_user, or: ${signAgain([...principals, login])}\nNothing is to be done where sshd there maps them (AuthorizedPrincipalsFile).`
  return { what: `is for ${shownNames(principals)}, and not for the login ${login}`, hint }
}

/** Names are anybody's words, and the line is for a shell. */
function signAgain(logins: readonly string[]): string {
  const isShort = logins.length <= MOST_PRINCIPALS && logins.every(({ length }) => length <= LONGEST_PRINCIPAL)
  return `Have the key signed again: ssh-keygen -s <authority> -I <id> -n ${isShort ? quoteWord(logins.join(',')) : '<logins>'} -V +52w <key>.pub`
}

function shownNames(names: readonly string[]): string {
  const shown = names.slice(0, MOST_PRINCIPALS).map((name) => name.slice(0, LONGEST_PRINCIPAL)).join(', ')
  return names.length > MOST_PRINCIPALS ? `${shown} and ${names.length - MOST_PRINCIPALS} more` : shown
}

/** `2026-01-31 12:00 UTC` */
function shownTime(ms: number): string {
  return `${new Date(Math.min(ms, LATEST_MS)).toISOString().slice(0, 16).replace('T', ' ')} UTC`
}
