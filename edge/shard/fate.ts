/** What a shard answers for each click of a batch: one byte. */
export const FATE = { accepted: 0, duplicate: 1, tooOld: 2, unavailable: 3 } as const;
export type Fate = (typeof FATE)[keyof typeof FATE];
