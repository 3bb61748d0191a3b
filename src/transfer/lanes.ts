import type { TransferAccess } from './access.ts'
import { openSftp } from './open-sftp.ts'
import type { RemoteFile, SftpClient } from './sftp/client.ts'

/**
 * What one SSH channel lets through in a round trip: the window of OpenSSH's server and of the ssh2 engine, which neither
 * lets us change. Beyond it, several channels side by side are the only way.
 */
const CHANNEL_WINDOW_BYTES = 2 * 1024 * 1024
/** sshd allows ten sessions on a connection, and a checksum needs one. */
const MOST_LANES = 6
/** What a lane is opened for: at this rate one lane alone does not hold the transfer up. */
const ENOUGH_BYTES_PER_MS = 160_000
/** A lane takes four round trips to open. */
const WORTHWHILE_BYTES = 8 * 1024 * 1024

/** A file on the host that is open, and how. */
interface LaneFile {
  readonly file: RemoteFile
  readonly signal: AbortSignal | undefined
  /** Flags to open it again with. */
  readonly flags: number
  /** What is to be moved. */
  readonly sizeBytes: number
}

interface Lane {
  readonly sftp: SftpClient
  readonly file: RemoteFile
}

/** One open file over several SFTP channels of the connection, used in turn. Reads and writes as {@link SftpClient} does. */
export class Lanes implements AsyncDisposable {
  readonly #lanes: [Lane, ...Lane[]]
  readonly #extra = new Set<SftpClient>()
  #opening: Promise<unknown> = Promise.resolve()
  #wanted = 1
  #turn = 0
  #isOver = false

  private constructor(first: Lane) {
    this.#lanes = [first]
  }

  /**
   * Over a long way with much to move, more channels join while the first is at work; ones that the host refuses are done
   * without. Dispose it before the file is closed.
   */
  static async open(access: TransferAccess, sftp: SftpClient, opened: LaneFile): Promise<Lanes> {
    const { file, sizeBytes } = opened
    const lanes = new Lanes({ sftp, file })
    if (sizeBytes < WORTHWHILE_BYTES) return lanes
    const startMs = performance.now()
    await sftp.lstat(file.path)
    lanes.#wanted = lanesFor(performance.now() - startMs)
    lanes.#opening = Promise.all(Array.from({ length: lanes.#wanted - 1 }, () => lanes.#join(access, opened)))
    return lanes
  }

  /** Of the first: all speak with the same server. */
  get limits(): SftpClient['limits'] {
    return this.#lanes[0].sftp.limits
  }

  /** What may be under way at once on all of them, in bytes: twice what the channels let through in a round trip. */
  get windowBytes(): number {
    return 2 * CHANNEL_WINDOW_BYTES * this.#wanted
  }

  read(_file: RemoteFile, offset: number, lengthBytes: number): Promise<Buffer | null> {
    const { sftp, file } = this.#next()
    return sftp.read(file, offset, lengthBytes)
  }

  write(_file: RemoteFile, offset: number, data: Buffer): Promise<void> {
    const { sftp, file } = this.#next()
    return sftp.write(file, offset, data)
  }

  /** Ends the further channels; the first belongs to the caller. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true
    for (const sftp of this.#extra) sftp.end()
    await this.#opening
  }

  #next(): Lane {
    this.#turn = (this.#turn + 1) % this.#lanes.length
    return this.#lanes[this.#turn] ?? this.#lanes[0]
  }

  async #join(access: TransferAccess, { file, flags, signal }: LaneFile): Promise<void> {
    try {
      const sftp = await openSftp(access, signal)
      this.#extra.add(sftp)
      if (this.#isOver) return sftp.end()
      this.#lanes.push({ sftp, file: await sftp.open(file.path, flags) })
    } catch {
      // The others do its work.
    }
  }
}

function lanesFor(roundTripMs: number): number {
  return Math.min(MOST_LANES, Math.max(1, Math.ceil((roundTripMs * ENOUGH_BYTES_PER_MS) / CHANNEL_WINDOW_BYTES)))
}
