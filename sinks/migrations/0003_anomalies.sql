-- Anomalies: every state of every episode, once.

CREATE TABLE IF NOT EXISTS {database}.anomalies_stored{local} {on_cluster}
(
    anomaly_id       String,
    rule             LowCardinality(String),
    state            LowCardinality(String),
    severity         LowCardinality(String),
    ts               DateTime64(3, 'UTC'),
    onset            DateTime64(3, 'UTC'),
    agent            LowCardinality(String),
    agent_version    LowCardinality(Nullable(String)),
    model            LowCardinality(Nullable(String)),
    run_id           Nullable(String),
    step_id          Nullable(String),
    tool             LowCardinality(Nullable(String)),
    value            Float64,
    baseline         Nullable(Float64),
    period           Nullable(Int32),
    seqs             Array(Int64),
    message          String,
    source_partition Nullable(Int32),
    source_offset    Nullable(Int64),
    detected_at      Nullable(DateTime64(3, 'UTC')),
    kafka_source     UInt32,
    kafka_partition  UInt32,
    kafka_offset     UInt64,
    ingested_at      DateTime64(3, 'UTC'),
    rank             UInt64 COMMENT 'higher the earlier it was found: of two emissions the first stays',
    INDEX by_run run_id TYPE bloom_filter GRANULARITY 1,
    INDEX by_ts ts TYPE minmax GRANULARITY 1
)
ENGINE = {replacing(rank)}
PARTITION BY toYYYYMM(ingested_at)
ORDER BY (anomaly_id, state)
-- From the day stored, as for events.
TTL toDateTime(ingested_at) + INTERVAL 30 DAY DELETE;

{distributed(anomalies_stored, cityHash64(anomaly_id))}

CREATE TABLE IF NOT EXISTS {database}.anomalies_in {on_cluster}
(
    kafka_source     Int64,
    kafka_partition  Int64,
    kafka_offset     Int64,
    anomaly_id       String,
    rule             String,
    state            String,
    severity         String,
    ts_ms            DateTime64(3, 'UTC'),
    onset_ms         DateTime64(3, 'UTC'),
    agent            String,
    agent_version    Nullable(String),
    model            Nullable(String),
    run_id           Nullable(String),
    step_id          Nullable(String),
    tool             Nullable(String),
    value            Float64,
    baseline         Nullable(Float64),
    period           Nullable(Int32),
    seqs             Array(Int64),
    message          String,
    source_partition Nullable(Int32),
    source_offset    Nullable(Int64),
    detected_ms      Nullable(DateTime64(3, 'UTC')),
    _end             Int64,
    CONSTRAINT aligned CHECK _end = {sentinel}
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.anomalies_fill {on_cluster} TO {database}.anomalies_stored AS
SELECT
    anomaly_id, rule, state, severity, ts_ms AS ts, onset_ms AS onset, agent, agent_version, model,
    run_id, step_id, tool, value, baseline, period, seqs, message, source_partition, source_offset,
    detected_ms AS detected_at, kafka_source, kafka_partition, kafka_offset, now64(3) AS ingested_at,
    bitNot(toUInt64(toUnixTimestamp64Milli(ifNull(detected_ms, ts_ms)))) AS rank
FROM {database}.anomalies_in;

-- Every state that an episode went through.
CREATE OR REPLACE VIEW {database}.anomaly_history {on_cluster} AS
SELECT
    anomaly_id, rule, state, severity, ts, toUnixTimestamp64Milli(ts) AS ts_ms, onset, agent, agent_version, model,
    run_id, step_id, tool, value, baseline, period, seqs, message, source_partition, source_offset,
    detected_at, kafka_partition, kafka_offset, ingested_at
FROM {database}.anomalies_stored FINAL;

-- One row an episode: where it stands now. `opened` is when its condition was first met.
CREATE OR REPLACE VIEW {database}.anomalies {on_cluster} AS
SELECT
    anomaly_id,
    latest.1 AS rule, latest.2 AS state, latest.3 AS severity, latest.4 AS ts,
    toUnixTimestamp64Milli(latest.4) AS ts_ms, onset, opened,
    latest.5 AS agent, latest.6 AS agent_version, latest.7 AS model, latest.8 AS run_id, latest.9 AS step_id,
    latest.10 AS tool, latest.11 AS value, latest.12 AS baseline, latest.13 AS period, latest.14 AS seqs,
    latest.15 AS message, latest.16 AS source_partition, latest.17 AS source_offset,
    detected_at, latest.18 AS ingested_at
FROM
(
    SELECT
        anomaly_id,
        min(history.onset) AS onset,
        min(history.ts) AS opened,
        min(history.detected_at) AS detected_at,
        argMax(
            tuple(rule, state, severity, history.ts, agent, agent_version, model, run_id, step_id, tool, value,
                  baseline, period, seqs, message, source_partition, source_offset, ingested_at),
            -- A state never goes back; event time alone may tie.
            tuple(indexOf(['open', 'escalated', 'resolved'], state), history.ts)
        ) AS latest
    FROM {database}.anomalies_stored AS history FINAL
    GROUP BY anomaly_id
);
