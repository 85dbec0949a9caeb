/**
 * The Durable Object of one slice of clicks: dedup, journal, flush. Decisions live in the files
 * beside it; this is the shell that holds storage, clock and connection together.
 *
 * What the platform hides: memory is lost on eviction, deploy and exception, so everything here is
 * rebuilt from SQLite in the constructor; an output gate holds every answer until the writes before
 * it are durable; timers die with the object, so an alarm stands behind the flush timer.
 */
import { DurableObject } from "cloudflare:workers";
import { reader, reserve, writer, written } from "../../wire/cursor.ts";
import { CLICK_ID_AT, eventTimeAt, openPack, placesOf } from "../../wire/packed-clicks.ts";
import type { RejectionCode } from "../../wire/ingest.ts";
import { RESEND_ERROR_MS_MAX } from "../../wire/limits.ts";
import {
  REJECTED_CLICK_BYTES_MAX,
  rejectionKindOf,
  writeCountedRejections,
} from "../../wire/rejected-click.ts";
import type { CountedRejections, RejectionKind } from "../../wire/rejected-click.ts";
import { encodeAnswers, readBatches } from "../click/batch-bytes.ts";
import type { ShardBatch } from "../click/batches.ts";
import { edgeConfig } from "../config.ts";
import type { EdgeConfig, Env } from "../config.ts";
import {
  ALARM_DELAY_MS,
  COMMIT_FULL_CLICKS,
  COMMIT_FULL_PIECES,
  COMMIT_MS_MAX,
  CONNECTION_IDLE_MS_MAX,
  DEDUP_SEGMENT_ROWS_MAX,
  FLUSH_BYTES,
  FLUSH_RETRY_MS_MAX,
  FLUSH_RETRY_MS_MIN,
  JOURNAL_ROW_BYTES_MAX,
  REJECTED_COUNTS_BYTES_MAX,
  REJECTED_JOURNAL_BYTES_MAX,
  REJECTED_KEPT_AT_ONCE_MAX,
  REJECTED_KEPT_EVERY_MS,
  REJECTED_KEYS_MAX,
  TOO_OLD_KEPT_AT_ONCE_MAX,
  TOO_OLD_KEPT_EVERY_MS,
} from "../limits.ts";
import { log } from "../log.ts";
import { pause, within } from "../within.ts";
import { NatsPublisher, PublishFailure } from "../publish/publisher.ts";
import { acceptedPieces } from "./accepted-clicks.ts";
import { DedupIndex, limitAfterDropping } from "./dedup-index.ts";
import { DedupStorage } from "./dedup-storage.ts";
import { FATE } from "./fate.ts";
import type { ShardAnswer } from "./fate.ts";
import { ShardFigures } from "./figures.ts";
import { Fingerprints } from "./fingerprints.ts";
import { Flusher } from "./flusher.ts";
import type { Failpoint } from "./flusher.ts";
import { GroupCommit, journalRowsOf } from "./group-commit.ts";
import type { Group, GroupPiece } from "./group-commit.ts";
import { RejectedAllowance } from "./rejected-allowance.ts";
import { CountedSql } from "./sql.ts";
import { CHAINS, ShardStorage } from "./storage.ts";
import type { Chain, Identity } from "./storage.ts";

/** These clicks lack nothing but a shard that remembers their time: they are kept to be applied again. */
const APPLICABLE_CODE: RejectionCode = "too_old";

/** What exists only once the shard knows who it is. */
interface Running {
  readonly identity: Identity;
  readonly fingerprints: Fingerprints;
  readonly flushers: Readonly<Record<Chain, Flusher>>;
}

export class ClickShard extends DurableObject<Env> {
  readonly #config: EdgeConfig;
  readonly #sql: CountedSql;
  readonly #storage: ShardStorage;
  readonly #index: DedupIndex;
  readonly #publisher: NatsPublisher;
  readonly #group = new GroupCommit({
    commit: (group) => this.#commit(group),
    linger: () => this.#linger(),
    fullPieces: COMMIT_FULL_PIECES,
    fullClicks: COMMIT_FULL_CLICKS,
    nowMs: () => Date.now(),
  });
  readonly #figures = new ShardFigures(Date.now());
  readonly #allowance = new RejectedAllowance({
    atOnceMax: REJECTED_KEPT_AT_ONCE_MAX,
    everyMs: REJECTED_KEPT_EVERY_MS,
    keysMax: REJECTED_KEYS_MAX,
  });
  readonly #tooOldAllowance = new RejectedAllowance({
    atOnceMax: TOO_OLD_KEPT_AT_ONCE_MAX,
    everyMs: TOO_OLD_KEPT_EVERY_MS,
    keysMax: REJECTED_KEYS_MAX,
  });
  /** Rejections that nothing remembers, since the log last said so. */
  #forgottenCount = 0;
  readonly #journalBytes: Record<Chain, number> = { clicks: 0, rejected: 0 };
  readonly #nextNumber: Record<Chain, number> = { clicks: 1, rejected: 1 };
  readonly #loops: Record<Chain, FlushLoop> = { clicks: newLoop(), rejected: newLoop() };
  #acceptFromMs: number;
  /** As it is stored; 0 when this life has not looked yet. */
  #knownShards = 0;
  #running: Running | null = null;
  #alarmAtMs: number | null = null;
  #idleTimer: ReturnType<typeof setTimeout> | null = null;
  #isAborted = false;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#config = edgeConfig(env);
    this.#publisher = new NatsPublisher(this.#config.natsUrl);
    this.#sql = new CountedSql(ctx.storage.sql);
    this.#storage = new ShardStorage(this.#sql);
    this.#index = new DedupIndex(new DedupStorage(this.#sql), this.#config.dedupHorizonMs);
    // A new storage remembers nothing; older clicks than the horizon are refused from the start. So is
    // what another shard may have accepted before the number of shards changed.
    const { acceptSinceMs, dedupHorizonMs } = this.#config;
    const nowMs = Date.now();
    this.#acceptFromMs = Math.max(
      this.#storage.number("accept_from_ms") ?? nowMs - dedupHorizonMs,
      acceptSinceMs === 0 ? 0 : acceptSinceMs + RESEND_ERROR_MS_MAX,
    );
    for (const lanes of this.#storage.unsealedFingerprints()) {
      for (let i = 0; i < lanes.length; i += 2) this.#index.add(lanes[i]!, lanes[i + 1]!, nowMs);
    }
    const shard = this.#storage.ownShard();
    if (shard !== null) this.#start(shard);
  }

  /**
   * Decides and keeps the batches of a call (batch-bytes.ts). Resolves when every `accepted` and `duplicate` of the
   * answers, and every rejected click that is kept or counted, is durable.
   */
  async accept(message: Uint8Array): Promise<string> {
    // Nothing else is alive while the commit is waited for.
    const answers = encodeAnswers(readBatches(message).map((batch) => this.#take(batch)));
    await this.#group.settled();
    return answers;
  }

  /**
   * Decides a batch; what its answer says is durable with the commit. Null when that fails: other requests' batches,
   * which came with it, must not suffer. Clicks that were taken by then are duplicates when they come again, and rejected
   * ones are kept twice.
   */
  #take(batch: ShardBatch): ShardAnswer | null {
    try {
      const running = this.#running ?? this.#start(batch.shard);
      this.#checkShardCount(batch);
      const fates = batch.clicks.length === 0 ? NO_FATES : this.#decide(batch.clicks, running);
      return { fates, rejectedTaken: this.#takeRejected(batch) };
    } catch (error) {
      if (this.#isAborted) throw error;
      log("error", "a batch failed", { shard: batch.shard, error: String(error) });
      return null;
    }
  }

  /** Ends this life, whose memory and storage differ: what is left of it decides nothing more. */
  #abort(reason: string): void {
    this.#isAborted = true;
    this.ctx.abort(reason);
  }

  /** Stands behind the timers: after an eviction or a crash it is what flushes. */
  override async alarm(): Promise<void> {
    this.#alarmAtMs = null;
    if (this.#running === null) return;
    // Every failure is caught in there: an alarm that throws is dropped after six retries.
    await Promise.all(CHAINS.map((chain) => this.#flush(chain)));
    await this.#setNextAlarm();
  }

  #start(shard: number): Running {
    const identity = this.#storage.identity(shard);
    // Stored, and only ever higher.
    if (this.#acceptFromMs > (this.#storage.number("accept_from_ms") ?? 0)) {
      this.#storage.setNumber("accept_from_ms", this.#acceptFromMs);
    }
    const flusher = (chain: Chain) =>
      new Flusher({
        chain,
        storage: this.#storage,
        identity,
        publisher: this.#publisher,
        settings: this.#config,
        nowMs: () => Date.now(),
        durable: () => this.ctx.storage.sync(),
        reached: (point) => this.#reached(point),
        report: () => this.#report(),
        published: (tookMs) => this.#figures.published(tookMs),
        trimmed: (byteCount) => {
          this.#journalBytes[chain] -= byteCount;
        },
      });
    for (const chain of CHAINS) {
      this.#journalBytes[chain] = this.#storage.journalBytes(chain);
      this.#nextNumber[chain] = this.#storage.newestJournalNumber(chain) + 1;
    }
    this.#running = {
      identity,
      fingerprints: new Fingerprints(identity.fingerprintKey),
      flushers: { clicks: flusher("clicks"), rejected: flusher("rejected") },
    };
    return this.#running;
  }

  /**
   * Another number of shards moves ids to shards that do not remember them: allowed only together
   * with a newer ACCEPT_SINCE, before which every shard, old or new, answers `too_old`.
   */
  #checkShardCount(batch: ShardBatch): void {
    if (this.#knownShards === batch.shards) return;
    const known = this.#storage.number("shards");
    if (known === batch.shards) {
      this.#knownShards = known;
      return;
    }
    const since = this.#config.acceptSinceMs;
    if (known !== null && since <= (this.#storage.number("accept_since_ms") ?? 0)) {
      throw new Error(
        `SHARDS changed from ${known} to ${batch.shards}: set ACCEPT_SINCE to a time after the last old instance is gone`,
      );
    }
    this.#storage.setNumber("shards", batch.shards);
    this.#storage.setNumber("accept_since_ms", since);
    this.#knownShards = batch.shards;
  }

  #forgetWhatMustGo(idCount: number): void {
    for (;;) {
      const bucket = this.#index.bucketToDrop(Date.now(), idCount);
      if (bucket === null) return;
      this.#acceptFromMs = Math.max(this.#acceptFromMs, limitAfterDropping(bucket));
      this.#storage.setNumber("accept_from_ms", this.#acceptFromMs);
      this.#index.drop(bucket);
    }
  }

  #decide(packed: Uint8Array, { fingerprints }: Running): Uint8Array {
    // Looked through before anything of it is known, dropped or kept: a faulty pack leaves no trace.
    const c = reader(packed);
    const pack = openPack(c);
    const places = placesOf(pack);
    if (pack.bytes.length !== packed.length) {
      throw new Error(`a pack of ${pack.bytes.length} bytes in ${packed.length}`);
    }
    this.#forgetWhatMustGo(pack.clickCount);
    const fates = new Uint8Array(pack.clickCount);
    // Of all its clicks; as they are decided, those of the accepted ones move to the front.
    const ids = new Uint32Array(2 * pack.clickCount);
    for (let i = 0; i < pack.clickCount; i++) {
      const idStart = places.starts[i]! + CLICK_ID_AT;
      const lanes = fingerprints.of(pack.account, packed, idStart, places.clickIdEnds[i]!);
      ids[2 * i] = lanes[0]!;
      ids[2 * i + 1] = lanes[1]!;
    }
    // Before any of them is known: reading storage may fail, and there may be no memory for those that are new.
    const sealed = this.#index.sealedHave(ids);
    this.#index.expect(ids);
    const nowMs = Date.now();
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < fates.length; i++) {
      const low = ids[2 * i]!;
      const high = ids[2 * i + 1]!;
      const fate =
        sealed[i] === 1
          ? FATE.duplicate
          : this.#fateOf(low, high, eventTimeAt(c, places.starts[i]!), nowMs);
      if (fate === FATE.accepted) {
        const at = 2 * counts[fate]!;
        ids[at] = low;
        ids[at + 1] = high;
      }
      fates[i] = fate;
      counts[fate]!++;
    }
    const accepted = firstOf(ids, 2 * counts[FATE.accepted]!);
    try {
      for (const piece of acceptedPieces(pack, places, fates, accepted, JOURNAL_ROW_BYTES_MAX)) {
        this.#journalBytes.clicks += piece.bytes.length;
        this.#group.add("clicks", piece);
      }
    } catch (error) {
      // Out of memory: ids that are known and not kept must not answer `duplicate`.
      this.#abort(`clicks could not be kept: ${String(error)}`);
      throw error;
    }
    this.#figures.accepted(counts[FATE.accepted]!, pack);
    this.#figures.duplicate(counts[FATE.duplicate]!);
    this.#figures.unavailable(counts[FATE.unavailable]!);
    return fates;
  }

  /** Of a click that no sealed segment has. An accepted one is known from then on. */
  #fateOf(low: number, high: number, eventTimeMs: number, nowMs: number): number {
    const isTooOld = eventTimeMs < this.#acceptFromMs;
    if (!isTooOld && !this.#isFull()) {
      return this.#index.add(low, high, nowMs) ? FATE.accepted : FATE.duplicate;
    }
    if (this.#index.openHas(low, high)) return FATE.duplicate;
    return isTooOld ? FATE.tooOld : FATE.unavailable;
  }

  /** Out of journal, or out of memory for ids that were received too lately to be forgotten. */
  #isFull(): boolean {
    return this.#isJournalFull() || this.#index.isFull;
  }

  #isJournalFull(): boolean {
    return this.#journalBytes.clicks >= this.#config.journalBytesMax;
  }

  /**
   * Keeps a batch's rejected clicks with their bytes, or counts them, beyond their key's allowance.
   * False, and nothing of it is taken, when clicks that could be applied again find no room.
   */
  #takeRejected(batch: ShardBatch): boolean {
    const nowMs = Date.now();
    const hasRoom = this.#journalBytes.rejected < REJECTED_JOURNAL_BYTES_MAX;
    const rows = rejectedRowsOf(batch);
    if (!hasRoom && rows.some(({ kind }) => kind.code === APPLICABLE_CODE)) return false;
    for (const { row, kind } of rows) {
      this.#figures.rejected(kind.code, 1);
      const isApplicable = kind.code === APPLICABLE_CODE;
      const allowance = isApplicable ? this.#tooOldAllowance : this.#allowance;
      if (hasRoom && allowance.take(`${kind.account} ${kind.keyId}`, nowMs)) {
        this.#journalBytes.rejected += row.length;
        this.#group.add("rejected", rejectedPiece(row));
      } else this.#countRejected(kind, 1);
    }
    for (const { count, ...kind } of batch.counted) {
      this.#figures.rejected(kind.code, count);
      this.#countRejected(kind, count);
    }
    return true;
  }

  #countRejected(kind: RejectionKind, count: number): void {
    const bytesMax = REJECTED_JOURNAL_BYTES_MAX + REJECTED_COUNTS_BYTES_MAX;
    if (this.#journalBytes.rejected < bytesMax) this.#group.count(kind, count);
    // Noise for hours while NATS is away: counted clicks need the rest of the disk.
    else this.#forgottenCount += count;
  }

  /** A group waits for other requests: a commit is a written row. */
  async #linger(): Promise<void> {
    await this.#reached("before_journal_commit");
    await pause(this.#config.commitLingerMs);
  }

  /**
   * Writes a group to the journal. A failed commit aborts the object: its ids are in memory and not
   * in storage, and must not answer `duplicate`.
   */
  async #commit(group: Group): Promise<void> {
    try {
      // In this very turn: the open segment holds the ids of this group, and of none that is not written yet.
      this.#write(group);
      await within(this.ctx.storage.sync(), COMMIT_MS_MAX, "not durable");
      await this.#reached("after_journal_commit");
    } catch (error) {
      this.#abort(`a commit failed: ${String(error)}`);
      throw error;
    }
    this.#figures.committed(Date.now() - group.sinceMs);
    for (const chain of CHAINS) this.#committed(chain, group.pieces[chain]);
  }

  /** One transaction: journal rows, the alarm behind them, and the open segment when it has to be sealed. */
  #write(group: Group): void {
    const nowMs = Date.now();
    for (const counted of group.counted.values()) {
      group.pieces.rejected.push(this.#countedPiece(counted, nowMs));
    }
    for (const chain of CHAINS) {
      for (const entry of journalRowsOf(group.pieces[chain], JOURNAL_ROW_BYTES_MAX)) {
        this.#storage.appendJournal(chain, this.#nextNumber[chain]++, entry);
      }
    }
    const newest = this.#nextNumber.clicks - 1;
    const unsealedRows = newest - this.#storage.sealedThrough;
    if (this.#index.sealDue(nowMs) || unsealedRows >= DEDUP_SEGMENT_ROWS_MAX) {
      this.#index.seal(nowMs);
      this.#storage.setSealed(newest);
    }
    this.#setAlarmBehind(nowMs + ALARM_DELAY_MS);
  }

  /** One row for all rejections of a kind in this commit. */
  #countedPiece(counted: CountedRejections, nowMs: number): GroupPiece {
    const c = writer(0);
    reserve(c, REJECTED_CLICK_BYTES_MAX);
    writeCountedRejections(c, this.#running!.identity.shard, nowMs, counted);
    const row = written(c).slice();
    this.#journalBytes.rejected += row.length;
    return rejectedPiece(row);
  }

  /** New rows start the chain's timer; a full message does not wait for it. */
  #committed(chain: Chain, pieces: readonly GroupPiece[]): void {
    if (pieces.length === 0) return;
    const loop = this.#loops[chain];
    for (const { messageByteCount } of pieces) loop.unflushedBytes += messageByteCount;
    // The running round looks for more when it ends, after its own pause if it fails.
    if (loop.busy) return;
    if (loop.unflushedBytes >= FLUSH_BYTES && loop.failures === 0)
      this.ctx.waitUntil(this.#flush(chain));
    else this.#flushSoon(chain);
  }

  /** In the transaction of the rows it stands behind; only when none is set that comes sooner. */
  #setAlarmBehind(atMs: number): void {
    if (this.#alarmAtMs !== null && this.#alarmAtMs <= atMs) return;
    this.#alarmAtMs = atMs;
    // Billed like a row.
    this.#sql.countRow();
    void this.ctx.storage.setAlarm(atMs);
  }

  async #setNextAlarm(): Promise<void> {
    const flushers = this.#running?.flushers;
    if (flushers === undefined) return;
    const dueMs = CHAINS.map((chain) => {
      if (flushers[chain].pending()) return Date.now() + ALARM_DELAY_MS;
      return flushers[chain].proofDueAtMs() ?? Infinity;
    });
    const atMs = Math.min(...dueMs);
    if (atMs !== Infinity) this.#setAlarmBehind(Math.max(atMs, Date.now() + ALARM_DELAY_MS));
    await this.ctx.storage.sync();
  }

  /** Starts the chain's timer, or lets a running loop know that there is more. */
  #flushSoon(chain: Chain, delayMs = this.#config.flushIntervalMs): void {
    const loop = this.#loops[chain];
    loop.timer ??= setTimeout(() => {
      loop.timer = null;
      this.ctx.waitUntil(this.#flush(chain));
    }, delayMs);
  }

  /** One loop per chain; failures wait with growing pauses, and never leave here. */
  async #flush(chain: Chain): Promise<void> {
    const loop = this.#loops[chain];
    const flusher = this.#running?.flushers[chain];
    if (loop.busy || flusher === undefined) return;
    loop.busy = true;
    loop.unflushedBytes = 0;
    this.#keepConnection();
    try {
      await flusher.flushAll();
      loop.failures = 0;
    } catch (error) {
      const pauseMs = Math.min(FLUSH_RETRY_MS_MIN * 2 ** loop.failures, FLUSH_RETRY_MS_MAX);
      loop.failures++;
      this.#figures.flushFailed();
      const level = error instanceof PublishFailure ? "warn" : "error";
      log(level, "flush failed, will be made again", {
        shard: this.#running?.identity.shard,
        chain,
        error: String(error),
        pauseMs,
        rejectionsForgotten: this.#forgottenCount,
      });
      this.#forgottenCount = 0;
      this.#flushSoon(chain, pauseMs);
    } finally {
      loop.busy = false;
    }
    if (loop.failures === 0 && flusher.pending()) this.#flushSoon(chain);
    else if (loop.failures === 0 && this.#isJournalFull()) this.#flushWhenProvable(chain, flusher);
    this.#closeWhenIdle();
  }

  /** For the flush that is being written down. */
  #report(): string {
    return this.#figures.take(Date.now(), {
      journalBytes: this.#journalBytes.clicks,
      rejectedJournalBytes: this.#journalBytes.rejected,
      dedupIds: this.#index.size,
      dedupSegments: this.#index.segmentCount,
      dedupBytes: this.#index.byteCount,
      acceptFromMs: this.#acceptFromMs,
      rowsWritten: this.#sql.takeRowsWritten(),
    });
  }

  /** A full journal takes no clicks that would start another round: only a proof makes room. */
  #flushWhenProvable(chain: Chain, flusher: Flusher): void {
    const dueAtMs = flusher.proofDueAtMs();
    if (dueAtMs === null) return;
    this.#flushSoon(chain, Math.max(dueAtMs - Date.now(), this.#config.flushIntervalMs));
  }

  #keepConnection(): void {
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    this.#idleTimer = null;
  }

  #closeWhenIdle(): void {
    this.#keepConnection();
    this.#idleTimer = setTimeout(() => {
      this.#idleTimer = null;
      if (!this.#loops.clicks.busy && !this.#loops.rejected.busy) this.#publisher.close();
    }, CONNECTION_IDLE_MS_MAX);
  }

  async #reached(point: Failpoint): Promise<void> {
    if (this.#config.failpoint !== point) return;
    // The test that listens there kills this process; no answer ever comes.
    await fetch(`${this.#config.failpointUrl}/${point}`);
  }
}

/** Rejected rows of a batch, with what they are counted by. */
function rejectedRowsOf(batch: ShardBatch): { row: Uint8Array; kind: RejectionKind }[] {
  let start = 0;
  return batch.rejectedEnds.map((end) => {
    const row = batch.rejectedRows.subarray(start, end);
    start = end;
    return { row, kind: rejectionKindOf(reader(row)) };
  });
}

/** As `subarray(0, count)`, which moves the numbers of a short array out of the heap: most often all are wanted. */
function firstOf(lanes: Uint32Array, count: number): Uint32Array {
  return count === lanes.length ? lanes : lanes.subarray(0, count);
}

/** Of a batch without clicks. */
const NO_FATES = new Uint8Array(0);
const NO_FINGERPRINTS = new Uint32Array(0);

/** A clicks_rejected row as it is committed. */
function rejectedPiece(row: Uint8Array): GroupPiece {
  return {
    rowCount: 1,
    bytes: row,
    messageByteCount: row.length,
    fingerprints: NO_FINGERPRINTS,
  };
}

interface FlushLoop {
  timer: ReturnType<typeof setTimeout> | null;
  busy: boolean;
  /** In a row. */
  failures: number;
  /** Bytes in messages, committed since the last flush began: a hint for its start, not a fact anything is decided by. */
  unflushedBytes: number;
}

function newLoop(): FlushLoop {
  return { timer: null, busy: false, failures: 0, unflushedBytes: 0 };
}
