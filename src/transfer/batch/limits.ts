/**
 * The most files that one batch is to have: more take memory, and were measured to gain nothing. 5,000 files of 2 KiB took least time
 * with three batches under way on a host of two cores.
 */
export const BATCH_FILES = 500

/** The most content that one batch is to have, in bytes. It is held in memory, at either way, until the batch has ended. */
export const BATCH_BYTES = 8 * 1024 * 1024

/** A file above this goes by itself: the round trips of its own are nothing beside its content. */
export const SMALL_BYTES = BATCH_BYTES / 8
