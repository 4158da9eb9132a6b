-- The control topic's commands, every one once: the audit. It has no TTL; the topic itself is compacted and
-- forgets.

CREATE TABLE IF NOT EXISTS {database}.control_stored{local} {on_cluster}
(
    control_id      String,
    scope           String,
    mode            LowCardinality(String),
    ts              DateTime64(3, 'UTC'),
    expires_at      Nullable(DateTime64(3, 'UTC')),
    why             String,
    by              String,
    anomaly_id      Nullable(String),
    kafka_source    UInt32,
    kafka_partition UInt32,
    kafka_offset    UInt64,
    ingested_at     DateTime64(3, 'UTC')
)
ENGINE = {replacing(kafka_offset)}
ORDER BY (control_id);

{distributed(control_stored, cityHash64(control_id))}

CREATE TABLE IF NOT EXISTS {database}.control_in {on_cluster}
(
    kafka_source    Int64,
    kafka_partition Int64,
    kafka_offset    Int64,
    control_id      String,
    scope           String,
    mode            String,
    ts_ms           DateTime64(3, 'UTC'),
    expires_ms      Nullable(DateTime64(3, 'UTC')),
    why             String,
    by              String,
    anomaly_id      Nullable(String),
    _end            Int64,
    CONSTRAINT aligned CHECK _end = {sentinel}
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.control_fill {on_cluster} TO {database}.control_stored AS
SELECT
    control_id, scope, mode, ts_ms AS ts, expires_ms AS expires_at, why, by, anomaly_id,
    kafka_source, kafka_partition, kafka_offset, now64(3) AS ingested_at
FROM {database}.control_in;

-- Every command that was given, by whom and why.
CREATE OR REPLACE VIEW {database}.control_log {on_cluster} AS
SELECT
    control_id, scope, mode, ts, toUnixTimestamp64Milli(ts) AS ts_ms, expires_at, why, by, anomaly_id,
    kafka_partition, kafka_offset, ingested_at
FROM {database}.control_stored FINAL;
