-- Of a key's rejected clicks some are kept with their bytes, the others are counted, like requests that
-- could not be read: one row stands for many then.
ALTER TABLE clicks_rejected ADD COLUMN IF NOT EXISTS occurrences UInt32 DEFAULT 1 AFTER sent_at;

-- "What do you refuse, and since when?" Codes of clicks (with the field at fault) and of whole requests.
CREATE VIEW IF NOT EXISTS rejection_counts AS
SELECT
    toStartOfMinute(received_at) AS minute,
    account,
    key_id,
    code,
    field,
    sum(occurrences) AS rejected,
    -- With their bytes, in clicks_rejected.
    countIf(body_bytes > 0) AS kept
FROM clicks_rejected
GROUP BY minute, account, key_id, code, field;
