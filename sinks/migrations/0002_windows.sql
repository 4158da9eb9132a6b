-- Window parts: one partition's partial aggregate of one window for one group.

-- The identity is the sorting key; of two parts with the same identity the higher version stays, and of two
-- with the same version the closed one. Time comes first in the key: what is asked is asked of a stretch of
-- time, and parts of different times do not overlap, which keeps FINAL cheap. Group fields may be null, and a
-- null is not the empty string: a tool may be named so, and the agent's own part must not collapse with it.
CREATE TABLE IF NOT EXISTS {database}.window_parts_stored{local} {on_cluster}
(
    window_start          DateTime64(3, 'UTC') CODEC(DoubleDelta, LZ4),
    window_ms             Int32,
    agent                 LowCardinality(String),
    agent_version         LowCardinality(Nullable(String)),
    model                 LowCardinality(Nullable(String)),
    tool                  LowCardinality(Nullable(String)),
    source_partition      Int32,
    slot                  DateTime64(3, 'UTC'),
    version               Int64 CODEC(T64, LZ4),
    watermark             DateTime64(3, 'UTC'),
    closed                Bool,
    events                Int64 CODEC(T64, LZ4),
    runs_started          Int64 CODEC(T64, LZ4),
    runs_stopped          Int64 CODEC(T64, LZ4),
    successes             Int64 CODEC(T64, LZ4),
    model_calls           Int64 CODEC(T64, LZ4),
    tool_calls            Int64 CODEC(T64, LZ4),
    tool_errors           Int64 CODEC(T64, LZ4),
    retries               Int64 CODEC(T64, LZ4),
    rate_limited          Int64 CODEC(T64, LZ4),
    input_tokens          Int64 CODEC(T64, LZ4),
    output_tokens         Int64 CODEC(T64, LZ4),
    cost_usd              Float64,
    outcome_sum           Float64,
    outcome_count         Int64 CODEC(T64, LZ4),
    run_tool_calls_sum    Int64 CODEC(T64, LZ4),
    run_ms_sum            Int64 CODEC(T64, LZ4),
    run_cost_usd_sum      Float64,
    stop_reasons          Array(LowCardinality(String)),
    stop_reason_counts    Array(Int64),
    call_ms_keys          Array(Int32),
    call_ms_counts        Array(Int64),
    run_tool_calls_keys   Array(Int32),
    run_tool_calls_counts Array(Int64),
    run_ms_keys           Array(Int32),
    run_ms_counts         Array(Int64),
    run_cost_usd_keys     Array(Int32),
    run_cost_usd_counts   Array(Int64),
    request_tokens_keys   Array(Int32),
    request_tokens_counts Array(Int64),
    kafka_source          UInt32,
    kafka_partition       UInt32,
    kafka_offset          UInt64,
    ingested_at           DateTime64(3, 'UTC'),
    rank                  UInt64 COMMENT 'version doubled, and one more where the part is closed',
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = {replacing(rank)}
PARTITION BY toDate(ingested_at)
PRIMARY KEY (window_start, window_ms, agent)
ORDER BY (window_start, window_ms, agent, agent_version, model, tool, source_partition, slot)
-- From the day stored, as for events: imported history does not vanish at once.
TTL toDateTime(ingested_at) + INTERVAL 30 DAY DELETE
SETTINGS ttl_only_drop_parts = 1, allow_nullable_key = 1;

{distributed(window_parts_stored, cityHash64(agent))}

CREATE TABLE IF NOT EXISTS {database}.window_parts_in {on_cluster}
(
    kafka_source          Int64,
    kafka_partition       Int64,
    kafka_offset          Int64,
    window_start_ms       DateTime64(3, 'UTC'),
    window_ms             Int32,
    agent                 String,
    agent_version         Nullable(String),
    model                 Nullable(String),
    tool                  Nullable(String),
    source_partition      Int32,
    slot_ms               DateTime64(3, 'UTC'),
    version               Int64,
    watermark_ms          DateTime64(3, 'UTC'),
    closed                Bool,
    events                Int64,
    runs_started          Int64,
    runs_stopped          Int64,
    successes             Int64,
    model_calls           Int64,
    tool_calls            Int64,
    tool_errors           Int64,
    retries               Int64,
    rate_limited          Int64,
    input_tokens          Int64,
    output_tokens         Int64,
    cost_usd              Float64,
    outcome_sum           Float64,
    outcome_count         Int64,
    run_tool_calls_sum    Int64,
    run_ms_sum            Int64,
    run_cost_usd_sum      Float64,
    stop_reasons          Array(String),
    stop_reason_counts    Array(Int64),
    call_ms_keys          Array(Int32),
    call_ms_counts        Array(Int64),
    run_tool_calls_keys   Array(Int32),
    run_tool_calls_counts Array(Int64),
    run_ms_keys           Array(Int32),
    run_ms_counts         Array(Int64),
    run_cost_usd_keys     Array(Int32),
    run_cost_usd_counts   Array(Int64),
    request_tokens_keys   Array(Int32),
    request_tokens_counts Array(Int64),
    _end                  Int64,
    CONSTRAINT aligned CHECK _end = {sentinel},
    -- Parallel arrays of different lengths would fail every query that adds them up.
    CONSTRAINT parallel CHECK length(stop_reasons) = length(stop_reason_counts)
        AND length(call_ms_keys) = length(call_ms_counts)
        AND length(run_tool_calls_keys) = length(run_tool_calls_counts)
        AND length(run_ms_keys) = length(run_ms_counts)
        AND length(run_cost_usd_keys) = length(run_cost_usd_counts)
        AND length(request_tokens_keys) = length(request_tokens_counts)
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.window_parts_fill {on_cluster} TO {database}.window_parts_stored AS
SELECT
    window_start_ms AS window_start, window_ms, agent, agent_version, model, tool, source_partition,
    slot_ms AS slot, version, watermark_ms AS watermark, closed,
    events, runs_started, runs_stopped, successes, model_calls, tool_calls, tool_errors, retries, rate_limited,
    input_tokens, output_tokens, cost_usd, outcome_sum, outcome_count,
    run_tool_calls_sum, run_ms_sum, run_cost_usd_sum, stop_reasons, stop_reason_counts,
    call_ms_keys, call_ms_counts, run_tool_calls_keys, run_tool_calls_counts, run_ms_keys, run_ms_counts,
    run_cost_usd_keys, run_cost_usd_counts, request_tokens_keys, request_tokens_counts,
    kafka_source, kafka_partition, kafka_offset, now64(3) AS ingested_at,
    toUInt64(version) * 2 + closed AS rank
FROM {database}.window_parts_in;

-- Every part once, its newest version.
CREATE OR REPLACE VIEW {database}.window_parts {on_cluster} AS
SELECT * EXCEPT (kafka_source, rank) FROM {database}.window_parts_stored FINAL;
