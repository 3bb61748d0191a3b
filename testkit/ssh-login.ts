import type { AuthContext, ParsedKey, PublicKeyAuthContext } from 'ssh2'
import ssh2 from 'ssh2'

/** A login that a test server has. */
export interface TestLogin {
  readonly name: string
  /** Lines as authorized_keys has them, without options. */
  readonly publicKeys: readonly string[]
}

/** Decides one authentication request. Only public keys are taken. Throws where a line of `logins` is not a public key. */
export function loginChecker(logins: readonly TestLogin[]): (context: AuthContext) => void {
  const keys = new Map(logins.map(({ name, publicKeys }) => [name, publicKeys.map(parsePublicKey)]))
  return (context) => {
    const known = context.method === 'publickey' && keys.get(context.username)?.find((key) => mayLogIn(context, key))
    if (known) context.accept()
    else context.reject(['publickey'])
  }
}

/** The key of one line. Throws where it is not one, or is private. */
export function parsePublicKey(line: string): ParsedKey {
  const key = ssh2.utils.parseKey(line)
  if (key instanceof Error) throw new Error(`not a public key: ${line.slice(0, 40)}`, { cause: key })
  if (key.isPrivateKey()) throw new Error('a private key was given where a public key belongs')
  return key
}

/** Without a signature the client only asks whether the key would do. Source: RFC 4252 section 7. */
function mayLogIn(context: PublicKeyAuthContext, key: ParsedKey): boolean {
  if (!key.getPublicSSH().equals(context.key.data)) return false
  if (!context.signature) return true
  // It returns an Error for a signature that cannot be read, whatever its type says.
  const isVerified: unknown = context.blob && key.verify(context.blob, context.signature, context.hashAlgo)
  return isVerified === true
}
