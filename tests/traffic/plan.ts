/**
 * What the simulated installations send, decided in advance by the seed alone: batches, times,
 * resends, broken clicks and answers that will get lost. What the network does with it is chance.
 */
import { hasGoodClock, makeInstallations } from "./installations.ts";
import type { Installation } from "./installations.ts";
import { Random } from "./random.ts";
import { Zipf } from "./zipf.ts";

export interface TrafficSettings {
  /** New clicks a second. */
  readonly rate: number;
  readonly seconds: number;
  readonly ads: number;
  readonly seed: number;
  /** Part of every click id; two runs against one edge need two names. */
  readonly name: string;
}

export interface PlannedClick {
  /** As it goes into the JSON. */
  readonly body: unknown;
  /** What the edge could read as its id; null where nothing. */
  readonly clickId: string | null;
  readonly adId: string;
  /** The timestamp as sent, ms. */
  readonly claimedMs: number;
  /** False for one that the edge must reject. */
  readonly good: boolean;
  readonly installation: Installation;
}

/** How one attempt's answer gets lost. */
export type Fault =
  /** The edge answers; the answer never arrives. */
  | { readonly kind: "drop" }
  /** The request is cut off at some point: the edge may have it, or not. */
  | { readonly kind: "abort"; readonly afterMs: number };

export interface PlannedBatch {
  /** After the start, ms. */
  readonly dueMs: number;
  readonly installation: Installation;
  readonly clicks: readonly PlannedClick[];
  /** Faults of the first attempts, in their order. */
  readonly faults: readonly Fault[];
  /** The same batch goes out a second time so long after the first, without waiting for it; null: not. */
  readonly againAfterMs: number | null;
}

/** About 5 % of batches lose an answer; some of them two in a row. */
const FAULT_SHARE = 0.05;
const SECOND_FAULT_SHARE = 0.2;
const ABORT_MS_MAX = 30;
/** A phone that does not wait for the first answer. */
const AGAIN_SHARE = 0.02;
const AGAIN_MS_MAX = 20;
/** Single clicks that were sent before (or are on their way) and go along with a later batch. */
const RESEND_SHARE = 0.06;
/** A click twice in one batch. */
const TWIN_SHARE = 0.002;
/** Of resent clicks: by another installation, so that a batch goes to several shards. */
const FOREIGN_SHARE = 0.2;
/** Clicks that may be resent: some seconds of traffic, so that some are still under way. */
const RECENT_CLICKS = 4_000;
const RECENT_OWN_CLICKS = 8;

const MALFORMED_SHARE = 0.01;
/** Batches from an offline queue: their windows have been closed long ago. */
const OFFLINE_SHARE = 0.03;
const OFFLINE_MS_MAX = 20 * 60_000;
/** How long an SDK gathers clicks before it sends them. */
const GATHER_MS_MAX = 2_000;

/** Enough that batches come from many, few enough that each is seen again and again. */
const INSTALLATIONS_MIN = 50;
const INSTALLATIONS_MAX = 20_000;

/** The traffic in the order of its due times; claimed times count from `startMs`. */
export function* planTraffic(settings: TrafficSettings, startMs: number): Generator<PlannedBatch> {
  const random = new Random(settings.seed);
  const zipf = new Zipf(settings.ads);
  const installationCount = Math.min(INSTALLATIONS_MAX, Math.max(INSTALLATIONS_MIN, settings.rate));
  const installations = makeInstallations(installationCount, settings.name, random);
  const clickCount = Math.round(settings.rate * settings.seconds);
  const recent: PlannedClick[] = [];
  const recentOwn = new Map<Installation, PlannedClick[]>();
  let made = 0;

  function newClick(installation: Installation, trueMs: number): PlannedClick {
    const number = made++;
    const tail = number.toString(36);
    const clickId = installation.dotted
      ? `${installation.id}.${tail}`
      : `${installation.id}-${tail}`;
    const adId = adName(zipf.rank(random.next()));
    const claimedMs = trueMs + installation.clockOffsetMs;
    const click = {
      body: {
        click_id: clickId,
        ad_id: adId,
        timestamp: claimedMs,
        ...(random.chance(0.5) ? { user_id: `user-${random.whole(1, 100_000)}` } : {}),
      },
      clickId,
      adId,
      claimedMs,
      good: true,
      installation,
    };
    return random.chance(MALFORMED_SHARE) ? malformed(click, random) : click;
  }

  /** A click that was sent before: mostly the installation's own, now and then another's. */
  function resent(by: Installation): PlannedClick | null {
    if (random.chance(FOREIGN_SHARE) && recent.length > 0) {
      const click = random.pick(recent);
      // Only where both clocks are good: another clock's correction would move the click.
      return hasGoodClock(by) && hasGoodClock(click.installation) ? click : null;
    }
    const own = recentOwn.get(by);
    return own === undefined ? null : random.pick(own);
  }

  function remember(click: PlannedClick): void {
    if (recent.length < RECENT_CLICKS) recent.push(click);
    else recent[random.whole(0, RECENT_CLICKS - 1)] = click;
    const own = recentOwn.get(click.installation);
    if (own === undefined) recentOwn.set(click.installation, [click]);
    else if (own.length < RECENT_OWN_CLICKS) own.push(click);
    else own[random.whole(0, RECENT_OWN_CLICKS - 1)] = click;
  }

  while (made < clickCount) {
    const dueMs = (made / settings.rate) * 1_000;
    const installation = random.pick(installations);
    const size = Math.min(batchSize(random), clickCount - made);
    const sentMs = Math.floor(startMs + dueMs);
    const offline = random.chance(OFFLINE_SHARE);
    const clicks: PlannedClick[] = [];
    for (let i = 0; i < size; i++) {
      const ageMs = random.whole(0, offline ? OFFLINE_MS_MAX : GATHER_MS_MAX);
      const click = newClick(installation, sentMs - ageMs);
      clicks.push(click);
      if (random.chance(TWIN_SHARE)) clicks.push(click);
      if (random.chance(RESEND_SHARE)) {
        const old = resent(installation);
        if (old !== null) clicks.push(old);
      }
    }
    for (const click of clicks) remember(click);
    yield {
      dueMs,
      installation,
      // Out of order, as callbacks on a phone are.
      clicks: random.shuffle(clicks),
      faults: planFaults(random),
      againAfterMs: random.chance(AGAIN_SHARE) ? random.whole(0, AGAIN_MS_MAX) : null,
    };
  }
}

export function adName(rank: number): string {
  return `ad-${String(rank + 1).padStart(6, "0")}`;
}

/** Most are small; a fifth are up to a hundred. The mean is about 20. */
function batchSize(random: Random): number {
  const kind = random.next();
  if (kind < 0.5) return random.whole(1, 5);
  return kind < 0.8 ? random.whole(6, 30) : random.whole(31, 100);
}

function planFaults(random: Random): Fault[] {
  if (!random.chance(FAULT_SHARE)) return [];
  const fault = (): Fault =>
    random.chance(0.5)
      ? { kind: "drop" }
      : { kind: "abort", afterMs: random.whole(0, ABORT_MS_MAX) };
  return random.chance(SECOND_FAULT_SHARE) ? [fault(), fault()] : [fault()];
}

/** The same click, broken in one of the ways that the edge has a code for. */
function malformed(click: PlannedClick, random: Random): PlannedClick {
  const id = click.clickId;
  const body = click.body as Readonly<Record<string, unknown>>;
  const { ad_id: _ad, ...withoutAd } = body;
  const { click_id: _id, ...withoutId } = body;
  const [clickId, broken] = random.pick<readonly [string | null, unknown]>([
    [id, withoutAd],
    [null, withoutId],
    [id, { ...body, ad_id: 42 }],
    [id, { ...body, ad_id: "" }],
    [id, { ...body, ad_id: "a".repeat(65) }],
    [id, { ...body, ad_id: "ad\u0000ü" }],
    [null, { ...body, click_id: "c".repeat(65) }],
    [null, { ...body, click_id: null }],
    [id, { ...body, timestamp: "yesterday" }],
    [id, { ...body, timestamp: 1e300 }],
    [id, { ...body, timestamp: Math.floor(Date.UTC(2026, 0) / 1_000) }],
    [id, { ...body, user_id: { name: "someone" } }],
    [null, null],
    [null, "click"],
    [null, [body]],
    [null, 7],
  ]);
  return { ...click, clickId, body: broken, good: false };
}
