/**
 * What a billion clicks cost at Cloudflare, from what one run says about each of its clicks. List prices, without what
 * a plan includes; without rows read ($0.001 a million), stored bytes, and whatever runs elsewhere.
 */

/** USD, November 2026. */
export const PRICES = {
  workerRequestsPerMillion: 0.3,
  workerCpuMsPerMillion: 0.02,
  /** Calls and alarms; messages of an outgoing WebSocket are none. */
  objectRequestsPerMillion: 0.15,
  /** Each index entry, delete and setAlarm is one. */
  rowsWrittenPerMillion: 1,
  objectGbSecondsPerMillion: 12.5,
} as const;

/** An object is billed for 128 MB, whatever it takes; in the provider's own examples that is 0.128 GB. */
const OBJECT_GB = 0.128;
const DAY_SECONDS = 86_400;
const MILLION = 1_000_000;

/** The load that is priced: evenly over a day, so that no object of them ever sleeps. */
export const DAY_CLICKS = 1_000_000_000;
export const DAY_SHARDS = 64;
/** What a billion clicks in batches of 10 may cost. */
export const USD_PER_BILLION_AIM = 150;

/** Clicks of one shard at that load: 181 a second. */
export const SHARD_CLICKS_PER_SECOND = Math.round(DAY_CLICKS / DAY_SECONDS / DAY_SHARDS);

/** What was measured, or follows from how it was sent, at the pace of that load. */
export interface ClickCosts {
  readonly clicksPerRequest: number;
  readonly objectRequestsPerMillion: number;
  readonly rowsWrittenPerMillion: number;
  readonly cpuUsPerClick: number;
}

export interface Dollars {
  readonly workerRequests: number;
  readonly workerCpu: number;
  readonly objectRequests: number;
  readonly rowsWritten: number;
  /** All objects, the whole day. */
  readonly objectDuration: number;
}

export function dollarsPerBillion(costs: ClickCosts): Dollars {
  const millions = DAY_CLICKS / MILLION;
  return {
    workerRequests: (millions / costs.clicksPerRequest) * PRICES.workerRequestsPerMillion,
    // Microseconds of one click are milliseconds of a thousand.
    workerCpu: (costs.cpuUsPerClick / 1_000) * millions * PRICES.workerCpuMsPerMillion,
    objectRequests:
      objectMillions(costs.objectRequestsPerMillion) * PRICES.objectRequestsPerMillion,
    rowsWritten: objectMillions(costs.rowsWrittenPerMillion) * PRICES.rowsWrittenPerMillion,
    objectDuration:
      ((DAY_SHARDS * DAY_SECONDS * OBJECT_GB) / MILLION) * PRICES.objectGbSecondsPerMillion,
  };
}

/** Millions of something in a day, of which a million clicks have so many. */
function objectMillions(perMillionClicks: number): number {
  return (perMillionClicks / MILLION) * (DAY_CLICKS / MILLION);
}

export function sumOf(dollars: Dollars): number {
  return Object.values(dollars).reduce((sum: number, part: number) => sum + part, 0);
}

/**
 * Calls of the Worker, one for each batch, and alarms.
 *
 * @param alarmMs between two alarms of one shard: they cannot come more often
 */
export function objectRequestsPerMillion(clicksPerRequest: number, alarmMs: number): number {
  const alarmsPerClick = 1_000 / alarmMs / SHARD_CLICKS_PER_SECOND;
  return MILLION * (1 / clicksPerRequest + alarmsPerClick);
}
