-- Of dead letters whether they were sent back to where they came from, and how often before; and how much there was of
-- those of which only the beginning is kept. A letter that was sent back is said once more, with that in it, and
-- replaces what was there.

ALTER TABLE {database}.dead_letters_stored{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS retries UInt32 DEFAULT 0 AFTER value,
    ADD COLUMN IF NOT EXISTS retried_at Nullable(DateTime64(3, 'UTC')) AFTER retries,
    ADD COLUMN IF NOT EXISTS cut_from_bytes Nullable(Int64) AFTER retried_at;

-- On a cluster the Distributed table; else the same once more.
ALTER TABLE {database}.dead_letters_stored {on_cluster}
    ADD COLUMN IF NOT EXISTS retries UInt32 DEFAULT 0 AFTER value,
    ADD COLUMN IF NOT EXISTS retried_at Nullable(DateTime64(3, 'UTC')) AFTER retries,
    ADD COLUMN IF NOT EXISTS cut_from_bytes Nullable(Int64) AFTER retried_at;

ALTER TABLE {database}.dead_letters_in {on_cluster}
    ADD COLUMN IF NOT EXISTS retries Int64 DEFAULT 0 AFTER value,
    ADD COLUMN IF NOT EXISTS retried_ms Nullable(Int64) AFTER retries,
    ADD COLUMN IF NOT EXISTS cut_from_bytes Nullable(Int64) AFTER retried_ms;

ALTER TABLE {database}.dead_letters_fill {on_cluster} MODIFY QUERY
SELECT
    topic, partition, offset, reason, detail, key, value,
    toUInt32(retries) AS retries, fromUnixTimestamp64Milli(retried_ms, 'UTC') AS retried_at, cut_from_bytes,
    kafka_source, kafka_partition, kafka_offset, now64(3) AS ingested_at
FROM {database}.dead_letters_in;

CREATE OR REPLACE VIEW {database}.dead_letters {on_cluster} AS
SELECT
    topic, partition, offset, reason, detail, key, value, retries, retried_at, cut_from_bytes,
    kafka_partition, kafka_offset, ingested_at
FROM {database}.dead_letters_stored FINAL;
