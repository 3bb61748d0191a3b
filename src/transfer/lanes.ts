import type { TransferAccess } from './access.ts'
import { openSftp } from './open-sftp.ts'
import type { RemoteFile, SftpClient } from './sftp/client.ts'

/**
 * What one SSH channel lets through in a round trip: the window of OpenSSH's server and of the ssh2 engine, which neither
 * lets us change. Beyond it, several channels side by side are the only way.
 */
const CHANNEL_WINDOW_BYTES = 2 * 1024 * 1024
/** What is under way on a lane at once: while one window is on its way, the next is asked for. */
const LANE_BYTES = 2 * CHANNEL_WINDOW_BYTES
/** sshd allows ten sessions on a connection, and a checksum needs one. */
const MOST_LANES = 6
/** What a lane is opened for: at this rate one lane alone does not hold the transfer up. */
const ENOUGH_BYTES_PER_MS = 160_000
/** A lane takes five round trips to open. */
const WORTHWHILE_BYTES = 8 * 1024 * 1024

/** What all transfers under way at once may hold together; and what one needs to move at all. */
const ALL_BYTES = 32 * 1024 * 1024
const LEAST_WINDOW_BYTES = 512 * 1024

/** What is to be moved, and how its file is opened. */
export interface LaneLoad {
  readonly sizeBytes: number
  /** Flags to open the file with. */
  readonly flags: number
  readonly signal: AbortSignal | undefined
  /** As {@link MoveOptions} has them. */
  readonly beside: number | undefined
  readonly mostLanes: number | undefined
}

/** One channel with the file open on it. */
interface Lane {
  readonly sftp: SftpClient
  readonly file: RemoteFile
  /** Asked for and not answered. */
  busyBytes: number
}

/** A read or write that waits for a lane with room. */
interface Turn {
  readonly bytes: number
  readonly take: (lane: Lane) => void
}

/** One open file over several SFTP channels of the connection, whichever has the most room. Reads and writes as {@link SftpClient} does. */
export class Lanes implements Disposable {
  /** What may be under way at once on all of them, in bytes. */
  readonly windowBytes: number
  readonly #first: SftpClient
  readonly #wanted: number
  readonly #lanes: Lane[] = []
  readonly #extra = new Set<SftpClient>()
  readonly #waiting: Turn[] = []
  #opened: (file: RemoteFile) => void = () => undefined
  #isOver = false

  /**
   * Over a long way with much to move, more channels are opened, while others look for the file's place and until the first
   * is at work; ones that the host refuses are done without. Dispose it before the file is closed.
   */
  constructor(access: TransferAccess, sftp: SftpClient, load: LaneLoad) {
    this.#first = sftp
    const { sizeBytes, mostLanes = MOST_LANES, beside = 1 } = load
    this.#wanted = sizeBytes < WORTHWHILE_BYTES ? 1 : Math.min(mostLanes, lanesFor(sftp.roundTripMs))
    this.windowBytes = Math.max(LEAST_WINDOW_BYTES, Math.min(LANE_BYTES * this.#wanted, ALL_BYTES / beside))
    const file = new Promise<RemoteFile>((resolve) => {
      this.#opened = resolve
    })
    for (let lane = 1; lane < this.#wanted; lane++) void this.#join(access, file, load)
  }

  /** The file, open on the first channel. */
  use(file: RemoteFile): void {
    this.#add({ sftp: this.#first, file, busyBytes: 0 })
    this.#opened(file)
  }

  /** Of the first: all speak with the same server. */
  get limits(): SftpClient['limits'] {
    return this.#first.limits
  }

  read(_file: RemoteFile, offset: number, lengthBytes: number): Promise<Buffer | null> {
    return this.#through(lengthBytes, ({ sftp, file }) => sftp.read(file, offset, lengthBytes))
  }

  write(_file: RemoteFile, offset: number, data: Buffer): Promise<void> {
    return this.#through(data.length, ({ sftp, file }) => sftp.write(file, offset, data))
  }

  /** Ends the further channels; the first belongs to the caller. What waits is never asked. */
  [Symbol.dispose](): void {
    this.#isOver = true
    this.#waiting.length = 0
    for (const sftp of this.#extra) sftp.end()
  }

  async #through<T>(bytes: number, ask: (lane: Lane) => Promise<T>): Promise<T> {
    const lane = await new Promise<Lane>((take) => {
      this.#waiting.push({ bytes, take })
      this.#serve()
    })
    try {
      return await ask(lane)
    } finally {
      lane.busyBytes -= bytes
      this.#serve()
    }
  }

  #add(lane: Lane): void {
    this.#lanes.push(lane)
    this.#serve()
  }

  /** Gives what waits to lanes with room, in order. */
  #serve(): void {
    for (let lane = this.#roomy(); lane !== undefined; lane = this.#roomy()) {
      const turn = this.#waiting.shift()
      if (turn === undefined) return
      lane.busyBytes += turn.bytes
      turn.take(lane)
    }
  }

  #roomy(): Lane | undefined {
    const [first, ...others] = this.#lanes
    if (first === undefined) return undefined
    const freest = others.reduce((best, lane) => (lane.busyBytes < best.busyBytes ? lane : best), first)
    return freest.busyBytes < LANE_BYTES ? freest : undefined
  }

  async #join(access: TransferAccess, file: Promise<RemoteFile>, { flags, signal }: LaneLoad): Promise<void> {
    try {
      const sftp = await openSftp(access, signal)
      if (this.#isOver) return sftp.end()
      this.#extra.add(sftp)
      const { path } = await file
      this.#add({ sftp, file: await sftp.open(path, flags), busyBytes: 0 })
    } catch {
      // The others do its work.
    }
  }
}

function lanesFor(roundTripMs: number): number {
  return Math.max(1, Math.ceil((roundTripMs * ENOUGH_BYTES_PER_MS) / CHANNEL_WINDOW_BYTES))
}
