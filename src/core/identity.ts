import type { Secret } from './secret.ts'

/** A private key to offer. */
export interface PrivateKey {
  readonly kind: 'key'
  /** For messages: what the user knows it by. Never a full path in an audit record. */
  readonly label: string
  /** The file's bytes: OpenSSH, PEM or PPK format. */
  readonly data: Buffer
  /** Needed where the key is encrypted. */
  readonly passphrase?: Secret
  readonly certificate?: UserCertificate
}

/** An ssh-agent to ask. */
export interface Agent {
  readonly kind: 'agent'
  /** Path of its socket. */
  readonly socketPath: string
  /** Only this one of its keys: the blob of the public half. Default: all. */
  readonly only?: Buffer
  readonly certificate?: UserCertificate
}

/** What an authority that servers trust says of a user's key. Source: OpenSSH PROTOCOL.certkeys. */
export interface UserCertificate {
  /** For messages: the name of its file. */
  readonly label: string
  /** `ssh-ed25519-cert-v01@openssh.com` */
  readonly type: string
  readonly blob: Buffer
}

/** A password, for enrolment. Also the answer to a server that asks for one in a dialogue (`keyboard-interactive`). */
export interface Password {
  readonly kind: 'password'
  readonly secret: Secret
}

/** A way to log in. */
export type Identity = PrivateKey | Agent | Password
