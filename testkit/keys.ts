import ssh2 from 'ssh2'

/** Kinds of key that {@link makeKeyPair} can make. */
export type KeyKind = 'ed25519' | 'rsa' | 'ecdsa'

/** How a key is to be. */
export interface KeyPairOptions {
  /** Encrypts the private key (aes256-ctr). Default: not encrypted. */
  readonly passphrase?: string
  /** Default: `testkit`. */
  readonly comment?: string
  /** Size of an RSA key (default: 2048) or curve of an ECDSA key (256, 384 or 521; default: 256). */
  readonly bits?: number
}

/** A key for a test. */
export interface KeyPair {
  /** OpenSSH format. */
  readonly privateKey: string
  /** One line as authorized_keys has it: type, base64, comment. */
  readonly publicKey: string
}

/**
 * A fresh key pair, made by ssh2. Throws what ssh2 throws for a size that there is not.
 * ssh2 1.17 drops a leading zero byte of an ed25519 key (1 in 256), so a pair that cannot be used is thrown away.
 */
export function makeKeyPair(kind: KeyKind = 'ed25519', options: KeyPairOptions = {}): KeyPair {
  for (;;) {
    const made = generate(kind, options)
    if (works(made, options.passphrase)) return { privateKey: made.private, publicKey: made.public.trim() }
  }
}

function works(made: ssh2.utils.KeyPairReturn, passphrase: string | undefined): boolean {
  const privateKey = ssh2.utils.parseKey(made.private, passphrase)
  const publicKey = ssh2.utils.parseKey(made.public)
  if (privateKey instanceof Error || publicKey instanceof Error) return false
  // It returns an Error for what it cannot read, whatever its type says.
  const isVerified: unknown = publicKey.verify('probe', privateKey.sign('probe'))
  return isVerified === true
}

function generate(kind: KeyKind, { passphrase, comment = 'testkit', bits }: KeyPairOptions): ssh2.utils.KeyPairReturn {
  const common = passphrase === undefined ? { comment } : { comment, passphrase, cipher: 'aes256-ctr', rounds: 16 } as const
  switch (kind) {
    case 'rsa':
      return ssh2.utils.generateKeyPairSync('rsa', { ...common, bits: bits ?? 2048 })
    case 'ecdsa':
      return ssh2.utils.generateKeyPairSync('ecdsa', { ...common, bits: curveOf(bits) })
    case 'ed25519':
      return ssh2.utils.generateKeyPairSync('ed25519', common)
  }
}

function curveOf(bits = 256): 256 | 384 | 521 {
  if (bits === 256 || bits === 384 || bits === 521) return bits
  throw new RangeError(`there is no ECDSA curve of ${bits} bits`)
}
