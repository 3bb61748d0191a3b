import { Slots } from './slots.ts'

/** While one group is under way, the next is on its way. */
const GROUPS_AT_ONCE = 2

/**
 * Does `work` for each item, in groups that begin in one turn, so that requests of a group go out in one packet: one by one, as
 * answers come, each would be a packet of its own. `work` must not reject.
 */
export async function inGroups<T>(items: readonly T[], size: number, work: (item: T, index: number) => Promise<void>): Promise<void> {
  const slots = new Slots(GROUPS_AT_ONCE)
  for (let at = 0; at < items.length; at += size) {
    await slots.start(async () => {
      await Promise.all(items.slice(at, at + size).map((item, index) => work(item, at + index)))
    })
  }
  await slots.settled()
}
