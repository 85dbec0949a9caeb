/** What a shard answers for each click of a batch: one byte. */
export const FATE = { accepted: 0, duplicate: 1, tooOld: 2, unavailable: 3 } as const;

/** What `accept` answers. */
export interface ShardAnswer {
  /** One FATE for each row of the batch, in order. */
  readonly fates: Uint8Array;
  /** How many of the batch's rejected rows will reach clicks_rejected; the others are only counted there. */
  readonly rejectedKept: number;
}
