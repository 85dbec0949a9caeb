-- What analysts join and read, and what operators find out.

CREATE TABLE IF NOT EXISTS ads
(
    ad_id String,
    campaign String,
    advertiser String,
    updated_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY ad_id
SETTINGS
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS repairs
(
    noticed_at DateTime64(3, 'UTC'),
    noticed_by LowCardinality(String),
    alarm LowCardinality(String),
    subject String,
    message_id String,
    detail String
)
ENGINE = MergeTree
ORDER BY (noticed_at, alarm)
SETTINGS
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS reconciliation
(
    run String,
    checked_at DateTime64(3, 'UTC'),
    window_start DateTime('UTC'),
    raw_clicks Int64,
    counted_clicks Int64,
    duplicate_ids UInt64,
    verdict Enum8('equal' = 1, 'different' = 2, 'not_ready' = 3)
)
ENGINE = MergeTree
ORDER BY (window_start, checked_at, run)
SETTINGS
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1;

-- Plain answers: one row for each key, whatever deltas it was made of. A key whose deltas have
-- cancelled out is no row. clicks_gross counts all; clicks_valid leaves out what has an invalid_reason;
-- clicks_late is the part of gross that came after its window had closed.
CREATE VIEW IF NOT EXISTS ad_counts AS
SELECT
    window_start,
    ad_id,
    country,
    device,
    sum(clicks) AS clicks_gross,
    sumIf(clicks, invalid_reason = '') AS clicks_valid,
    sumIf(clicks, origin = 'late') AS clicks_late
FROM ad_clicks_1m
GROUP BY window_start, ad_id, country, device
HAVING clicks_gross != 0 OR clicks_valid != 0;

-- Hours and days are sums of the counts themselves. A rollup table fed by a materialized view would be
-- faster and could be wrong: its part is written beside its source's, not with it, and a server that is
-- killed between the two leaves them apart.
CREATE VIEW IF NOT EXISTS ad_counts_hourly AS
SELECT
    toStartOfHour(window_start) AS hour,
    ad_id,
    country,
    device,
    sum(clicks) AS clicks_gross,
    sumIf(clicks, invalid_reason = '') AS clicks_valid,
    sumIf(clicks, origin = 'late') AS clicks_late
FROM ad_clicks_1m
GROUP BY hour, ad_id, country, device
HAVING clicks_gross != 0 OR clicks_valid != 0;

CREATE VIEW IF NOT EXISTS ad_counts_daily AS
SELECT
    -- By way of the hour, which is what the table is sorted by.
    toDate(toStartOfHour(window_start)) AS day,
    ad_id,
    country,
    device,
    sum(clicks) AS clicks_gross,
    sumIf(clicks, invalid_reason = '') AS clicks_valid,
    sumIf(clicks, origin = 'late') AS clicks_late
FROM ad_clicks_1m
GROUP BY day, ad_id, country, device
HAVING clicks_gross != 0 OR clicks_valid != 0;

-- How many clicks were flagged, and why.
CREATE VIEW IF NOT EXISTS invalid_counts AS
SELECT
    window_start,
    ad_id,
    invalid_reason,
    sum(clicks) AS clicks
FROM ad_clicks_1m
WHERE invalid_reason != ''
GROUP BY window_start, ad_id, invalid_reason
HAVING clicks != 0;
