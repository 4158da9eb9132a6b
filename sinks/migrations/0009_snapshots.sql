-- Arguments and results, where someone turned them on: redacted and sealed by the agents. Nobody who reads this table
-- can read them; `sealed` opens with the readers' key alone (schemas/sealing.py).

-- One row a payload, whichever calls had it: the one that was sent last stays, since its days are counted anew.
CREATE TABLE IF NOT EXISTS {database}.snapshots_stored{local} {on_cluster}
(
    sha              String CODEC(ZSTD(1)),
    kind             LowCardinality(String),
    ts               DateTime64(3, 'UTC'),
    agent            LowCardinality(String),
    tool             LowCardinality(Nullable(String)),
    key_id           LowCardinality(String),
    sealed           String CODEC(NONE) COMMENT 'compressed before it was sealed; what is sealed does not compress',
    payload_chars    Int64,
    kept_chars       Int64,
    truncated        Bool,
    redactions       Array(LowCardinality(String)),
    redaction_counts Array(Int64),
    kafka_source     UInt32,
    kafka_partition  UInt32,
    kafka_offset     UInt64,
    ingested_at      DateTime64(3, 'UTC')
)
ENGINE = {replacing(ingested_at)}
PARTITION BY toDate(ingested_at)
-- A payload that was sealed for another key too is a row of its own.
ORDER BY (sha, key_id)
TTL toDateTime(ingested_at) + INTERVAL 14 DAY DELETE
SETTINGS ttl_only_drop_parts = 1;

{distributed(snapshots_stored, cityHash64(sha))}

CREATE TABLE IF NOT EXISTS {database}.snapshots_in {on_cluster}
(
    kafka_source     Int64,
    kafka_partition  Int64,
    kafka_offset     Int64,
    sha              String,
    kind             String,
    ts_ms            DateTime64(3, 'UTC'),
    agent            String,
    tool             Nullable(String),
    key_id           String,
    sealed           String,
    payload_chars    Int64,
    kept_chars       Int64,
    truncated        Bool,
    redactions       Array(String),
    redaction_counts Array(Int64),
    _end             Int64,
    CONSTRAINT aligned CHECK _end = {sentinel}
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.snapshots_fill {on_cluster} TO {database}.snapshots_stored AS
SELECT
    sha, kind, ts_ms AS ts, agent, tool, key_id, sealed, payload_chars, kept_chars, truncated, redactions,
    redaction_counts, kafka_source, kafka_partition, kafka_offset, now64(3) AS ingested_at
FROM {database}.snapshots_in;

CREATE OR REPLACE VIEW {database}.snapshots {on_cluster} AS
SELECT
    sha, kind, ts, toUnixTimestamp64Milli(ts) AS ts_ms, agent, tool, key_id, sealed, payload_chars, kept_chars,
    truncated, redactions, redaction_counts, kafka_partition, kafka_offset, ingested_at
FROM {database}.snapshots_stored FINAL;
