import { leadingStrings, mpintBits } from '../core/ssh-wire.ts'

/**
 * The one table of what may be negotiated. An allow-list in five categories, best first; what is not here is not offered.
 * No SHA-1, MD5, CBC or RC4. Left out on purpose: `diffie-hellman-group-exchange-sha256`, because ssh2 1.17 takes any prime
 * the server sends, of any size, without a check (kex.js).
 * Among the ciphers AES-GCM comes first: measured as fast as chacha20-poly1305 on CPUs with AES instructions,
 * and it is not open to prefix truncation (CVE-2023-48795) where the server knows no strict key exchange.
 */
export const ALGORITHMS = {
  /** Key exchange. */
  kex: [
    'curve25519-sha256',
    'curve25519-sha256@libssh.org',
    'ecdh-sha2-nistp256',
    'ecdh-sha2-nistp384',
    'ecdh-sha2-nistp521',
    'diffie-hellman-group16-sha512',
    'diffie-hellman-group18-sha512',
    'diffie-hellman-group17-sha512',
    'diffie-hellman-group15-sha512',
    'diffie-hellman-group14-sha256',
  ],
  /** Signatures by host keys. */
  hostKey: ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521', 'rsa-sha2-512', 'rsa-sha2-256'],
  /** Ciphers, both ways. */
  cipher: [
    'aes256-gcm@openssh.com',
    'aes128-gcm@openssh.com',
    'chacha20-poly1305@openssh.com',
    'aes256-ctr',
    'aes192-ctr',
    'aes128-ctr',
  ],
  /** MACs, both ways; for the ciphers that do not authenticate themselves. */
  mac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256', 'hmac-sha2-512'],
  /** Signatures by user keys. For RSA 256 comes first: Dropbear has no other. */
  signature: ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521', 'rsa-sha2-256', 'rsa-sha2-512'],
} as const

/** Key exchange that withstands quantum computers, best first; only the engine `openssh` has it, and offers it before all of {@link ALGORITHMS}. */
export const POST_QUANTUM_KEX = ['mlkem768x25519-sha256', 'sntrup761x25519-sha512', 'sntrup761x25519-sha512@openssh.com']

/** Whether a key exchange method is one of {@link POST_QUANTUM_KEX}. */
export function isPostQuantum(kex: string): boolean {
  return POST_QUANTUM_KEX.includes(kex)
}

/** A category of {@link ALGORITHMS}. */
export type AlgorithmCategory = keyof typeof ALGORITHMS

/** An allowed host key algorithm. */
export type HostKeyAlgorithm = (typeof ALGORITHMS.hostKey)[number]

/** The marker of strict key exchange in a server's list. Source: OpenSSH PROTOCOL, section 1.10. */
export const STRICT_KEX = 'kex-strict-s-v00@openssh.com'

/** Whether a cipher is open to prefix truncation (CVE-2023-48795) without strict key exchange. */
export function needsStrictKex(cipher: string): boolean {
  return cipher === 'chacha20-poly1305@openssh.com'
}

const RSA_MIN_BITS = 2048
// What OpenSSL verifies at most; beyond it a key only costs time.
const RSA_MAX_BITS = 16_384

/** The key type that an algorithm signs with: `ssh-rsa` for `rsa-sha2-256`. */
export function keyTypeOf(algorithm: string): string {
  return algorithm.startsWith('rsa-sha2-') ? 'ssh-rsa' : algorithm
}

/**
 * All allowed host key algorithms, those of the known types first. The others follow, so that a host which has
 * only keys of other types is judged by its key (`HOST_KEY_CHANGED`) and not lost in the negotiation.
 */
export function hostKeyOrder(knownTypes: readonly string[]): HostKeyAlgorithm[] {
  const known = ALGORITHMS.hostKey.filter((algorithm) => knownTypes.includes(keyTypeOf(algorithm)))
  return [...known, ...ALGORITHMS.hostKey.filter((algorithm) => !known.includes(algorithm))]
}

/** The signature algorithms that a user key of this type may use, best first. Empty: the type is not allowed. */
export function signatureAlgorithms(keyType: string): readonly string[] {
  return ALGORITHMS.signature.filter((algorithm) => keyTypeOf(algorithm) === keyType)
}

/** Why a public key, of a host or a user, is too weak to be used. Undefined: it is not. Source: RFC 4253 section 6.6. */
export function weakness(blob: Buffer): string | undefined {
  const [type, , modulus] = leadingStrings(blob, 3)
  if (type === undefined) return 'it is not a public key'
  const name = type.toString('latin1')
  if (signatureAlgorithms(name).length === 0) return `keys of type ${name} are not allowed`
  if (name !== 'ssh-rsa') return undefined
  const bits = modulus === undefined ? 0 : mpintBits(modulus)
  if (bits < RSA_MIN_BITS) return `an RSA key of ${bits} bits, and at least ${RSA_MIN_BITS} are needed`
  return bits > RSA_MAX_BITS ? `an RSA key of ${bits} bits, and at most ${RSA_MAX_BITS} can be used` : undefined
}
