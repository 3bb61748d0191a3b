/** The login where only the host's key is asked for: ours is not for a host that has not proved itself. */
export const NOBODY = 'remex'
