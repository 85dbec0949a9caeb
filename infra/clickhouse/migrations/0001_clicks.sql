-- What the sinks write from the edge's streams: accepted and rejected clicks, and the ledger of flushes.
--
-- On every table of ours:
--   non_replicated_deduplication_window: 0 by default, which forgets every token. 10,000 inserts are
--     hours of a sink at its busiest, far longer than any late copy of an insert lives.
--   fsync_after_insert, fsync_part_directory: parts are not synced by default; an insert that was
--     answered must survive the machine. They are settings of the table; no query can ask for them.
-- A part that is an insert stays one part only if PARTITION BY is constant within the insert.

-- Partitions are days of flushing: a sink never mixes them in an insert, and the TTL drops whole parts.
-- Sorted by hour, then ad: recalculation and time ranges read whole hours of all ads, and one ad's
-- clicks of a day are at most 24 short ranges. Sorted by ad first, every window would read every granule.
CREATE TABLE IF NOT EXISTS clicks_raw
(
    flush UInt64,
    flushed_on Date,
    shard UInt16,
    epoch FixedString(8),
    received_at DateTime64(3, 'UTC'),
    event_time DateTime64(3, 'UTC'),
    time_source Enum8('client' = 1, 'skew_corrected' = 2, 'server' = 3),
    account LowCardinality(String),
    click_id String,
    ad_id String,
    country LowCardinality(String),
    device LowCardinality(String),
    invalid_reason LowCardinality(String),
    key_id LowCardinality(String),
    user_id String,
    ip String,
    user_agent String,
    claimed_time DateTime64(3, 'UTC'),
    sent_at Nullable(DateTime64(3, 'UTC')),
    skew_ms Nullable(Int64),
    inserted_at DateTime64(3, 'UTC') DEFAULT now64(3),
    -- The sink reads back which of its latest units are there: those are in small, young parts, where
    -- the least and greatest flush say enough. (In old, merged parts they say nothing, and nobody asks.)
    INDEX unit (shard, flush) TYPE minmax GRANULARITY 1,
    -- "Did you get this click?" names an id and no time.
    INDEX click_ids click_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = MergeTree
PARTITION BY flushed_on
ORDER BY (toStartOfHour(event_time), ad_id, event_time, click_id)
TTL flushed_on + INTERVAL 90 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1;

-- Read by whoever looks after an account's integration: what failed, when, and with which bytes.
CREATE TABLE IF NOT EXISTS clicks_rejected
(
    flush UInt64,
    flushed_on Date,
    shard UInt16,
    epoch FixedString(8),
    received_at DateTime64(3, 'UTC'),
    account LowCardinality(String),
    key_id LowCardinality(String),
    code LowCardinality(String),
    field LowCardinality(String),
    message String,
    click_id String,
    ip String,
    country LowCardinality(String),
    user_agent String,
    body String,
    body_bytes UInt32,
    sent_at Nullable(DateTime64(3, 'UTC')),
    inserted_at DateTime64(3, 'UTC') DEFAULT now64(3),
    INDEX unit (shard, flush) TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY flushed_on
ORDER BY (account, code, received_at)
TTL flushed_on + INTERVAL 30 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1;

-- The ledger outlives the clicks that it accounts for by a month. Its TTL removes rows in merges: one
-- insert may hold rows of two days, so no partition by time would be constant in it.
CREATE TABLE IF NOT EXISTS flushes
(
    chain Enum8('clicks' = 1, 'rejected' = 2),
    shard UInt16,
    epoch FixedString(8),
    flush UInt64,
    previous UInt64,
    clicks UInt64,
    ids_hash UInt64,
    block_hash UInt64,
    stream_created String,
    sequence UInt64,
    message_id String,
    message_time DateTime64(3, 'UTC'),
    inserted_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (chain, shard, epoch, flush)
TTL toDateTime(message_time) + INTERVAL 120 DAY
SETTINGS
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1;
