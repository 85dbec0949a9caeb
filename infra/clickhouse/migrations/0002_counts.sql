-- What the sink writes from the results stream: deltas of counts, their ledger, the top lists.

-- A delta is never changed; a count is the sum of its deltas.
-- Sorted by hour, then ad: "the last hour, all ads" reads that hour only, "this ad, this day" 24 short
-- ranges.
CREATE TABLE IF NOT EXISTS ad_clicks_1m
(
    window_start DateTime('UTC'),
    ad_id String,
    country LowCardinality(String),
    device LowCardinality(String),
    invalid_reason LowCardinality(String),
    clicks Int64,
    origin Enum8('on_time' = 1, 'late' = 2, 'recalculated' = 3),
    job LowCardinality(String),
    partitions UInt16,
    partition UInt16,
    emission UInt64,
    chunk UInt32,
    emitted_on Date,
    inserted_at DateTime64(3, 'UTC') DEFAULT now64(3),
    -- The sink reads back its latest units; see clicks_raw.
    INDEX unit (partition, emission) TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(emitted_on)
ORDER BY (toStartOfHour(window_start), ad_id, window_start, country, device, invalid_reason)
SETTINGS
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS emissions
(
    partitions UInt16,
    partition UInt16,
    emission UInt64,
    chunk UInt32,
    chunks UInt32,
    rows UInt64,
    emission_rows UInt64,
    emission_clicks Int64,
    watermark DateTime64(3, 'UTC'),
    closed_through DateTime('UTC'),
    emission_hash UInt64,
    producers Array(Tuple(shard UInt16, epoch FixedString(8), flush UInt64)),
    stream_created String,
    sequence UInt64,
    message_id String,
    message_time DateTime64(3, 'UTC'),
    inserted_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (partitions, partition, emission, chunk)
TTL toDateTime(message_time) + INTERVAL 120 DAY
SETTINGS
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS top_ads
(
    window_end DateTime('UTC'),
    minutes UInt16,
    rank UInt16,
    ad_id String,
    clicks Int64,
    partitions UInt16,
    partition UInt16,
    emission UInt64,
    emitted_on Date
)
ENGINE = MergeTree
PARTITION BY emitted_on
ORDER BY (minutes, window_end, partition, rank)
-- Old lists can be made again from the counts.
TTL emitted_on + INTERVAL 30 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1;
