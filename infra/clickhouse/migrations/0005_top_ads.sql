-- The lists of top ads, made anew: windows need not be minutes, and a list says what it may lack. Nothing
-- has ever written the table that this replaces. One statement, for a run that is cut off between a DROP
-- and a CREATE would leave no table to a run beside it.
CREATE OR REPLACE TABLE top_ads
(
    -- Through where windows were closed when the list was made.
    window_end DateTime('UTC'),
    -- The list is over the last so many of them.
    windows UInt16,
    rank UInt16,
    ad_id String,
    clicks Int64,
    -- Clicks, in these windows, of ads beyond the kernel's limits; 0: the list is exact.
    untracked_clicks Int64,
    partitions UInt16,
    partition UInt16,
    emission UInt64,
    emitted_on Date
)
ENGINE = MergeTree
PARTITION BY emitted_on
ORDER BY (windows, window_end, partition, rank)
-- Old lists can be made again from the counts.
TTL emitted_on + INTERVAL 30 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1;
