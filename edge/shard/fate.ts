/** What a shard answers for each click of a batch: one byte. */
export const FATE = { accepted: 0, duplicate: 1, tooOld: 2, unavailable: 3 } as const;

/** What `accept` answers. */
export interface ShardAnswer {
  /** One FATE for each click of the batch, in order. */
  readonly fates: Uint8Array;
  /** Every rejected click of the batch is kept or counted; false: there is no room, and the sender has to keep them. */
  readonly rejectedTaken: boolean;
}
