-- What the sink writes from the results stream: deltas of counts, their ledger, the top lists. And the
-- rollups that follow from the deltas.

-- A delta is never changed; a count is the sum of its deltas.
-- Sorted by hour, then ad: "the last hour, all ads" reads that hour only, "this ad, this day" 24 short
-- ranges; longer questions go to the rollups.
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

-- Rollups are partitioned by the month of emission, like their source, so that an insert into the source
-- makes one part here too. Every other column but the sum is in the key: merging only adds.
CREATE TABLE IF NOT EXISTS ad_clicks_1h
(
    hour DateTime('UTC'),
    ad_id String,
    country LowCardinality(String),
    device LowCardinality(String),
    invalid_reason LowCardinality(String),
    origin Enum8('on_time' = 1, 'late' = 2, 'recalculated' = 3),
    emitted_month Date,
    clicks Int64
)
ENGINE = SummingMergeTree(clicks)
PARTITION BY emitted_month
ORDER BY (toDate(hour), ad_id, hour, country, device, invalid_reason, origin, emitted_month)
SETTINGS
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS ad_clicks_1d
(
    day Date,
    ad_id String,
    country LowCardinality(String),
    device LowCardinality(String),
    invalid_reason LowCardinality(String),
    origin Enum8('on_time' = 1, 'late' = 2, 'recalculated' = 3),
    emitted_month Date,
    clicks Int64
)
ENGINE = SummingMergeTree(clicks)
PARTITION BY emitted_month
-- The ad first: at this grain the question is an ad's months, and all ads of one day are few rows.
ORDER BY (ad_id, day, country, device, invalid_reason, origin, emitted_month)
SETTINGS
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS ad_clicks_1m_to_1h TO ad_clicks_1h AS
SELECT
    toStartOfHour(window_start) AS hour,
    ad_id,
    country,
    device,
    invalid_reason,
    origin,
    toStartOfMonth(emitted_on) AS emitted_month,
    sum(clicks) AS clicks
FROM ad_clicks_1m
GROUP BY hour, ad_id, country, device, invalid_reason, origin, emitted_month;

CREATE MATERIALIZED VIEW IF NOT EXISTS ad_clicks_1m_to_1d TO ad_clicks_1d AS
SELECT
    toDate(window_start) AS day,
    ad_id,
    country,
    device,
    invalid_reason,
    origin,
    toStartOfMonth(emitted_on) AS emitted_month,
    sum(clicks) AS clicks
FROM ad_clicks_1m
GROUP BY day, ad_id, country, device, invalid_reason, origin, emitted_month;
