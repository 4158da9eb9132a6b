-- Events as the agents sent them.
--
-- Placeholders in braces are filled in by sinks/ddl.py, which makes single-node or cluster DDL of the same text.
-- Every statement can be repeated: a run that died half-way is simply run again.

-- What people and views read. Three choices that are not obvious:
--
-- ORDER BY starts with run_id, because "what happened in this run" is the question asked of single events;
-- everything by agent and time is answered by the window parts. SDK run ids are UUIDv7, so parts of different
-- days have hardly overlapping keys, which keeps FINAL cheap. It ends in event_id: a second copy of an event
-- has the same key and collapses; the copy with the higher offset stays.
--
-- PARTITION BY and TTL go by the day on which a row was stored, not by event time. Imported history may span
-- years: by event time one insert would touch hundreds of partitions, and the rows would be past their TTL the
-- moment they arrive. One insert is one partition and so one part, which makes it atomic. Copies of one event
-- that were stored on different days stay in different partitions; FINAL, which the views use, sees through that.
--
-- ZSTD on ids and hashes alone: they are two thirds of a row, 51 bytes with it and 79 without, at no measurable
-- cost to the insert.
--
-- kafka_source is a hash of the topic's name and id, so that offsets of a topic that was deleted and made anew,
-- or of another fleet's topic, are never taken for this one's.
CREATE TABLE IF NOT EXISTS {database}.events_stored{local} {on_cluster}
(
    event_id        String CODEC(ZSTD(1)),
    run_id          String,
    parent_run_id   Nullable(String),
    seq             Int64 CODEC(T64, LZ4),
    kind            LowCardinality(String),
    ts              DateTime64(3, 'UTC') CODEC(DoubleDelta, LZ4),
    agent           LowCardinality(String),
    agent_version   LowCardinality(Nullable(String)),
    model           LowCardinality(Nullable(String)),
    prompt_sha      LowCardinality(Nullable(String)),
    tools_sha       LowCardinality(Nullable(String)),
    step_id         Nullable(String),
    tool            LowCardinality(Nullable(String)),
    args_sha        Nullable(String) CODEC(ZSTD(1)),
    result_sha      Nullable(String) CODEC(ZSTD(1)),
    duration_ms     Nullable(Int64) CODEC(T64, LZ4),
    status          LowCardinality(String),
    error           LowCardinality(Nullable(String)),
    attempt         Nullable(Int32) CODEC(T64, LZ4),
    http_status     Nullable(Int32) CODEC(T64, LZ4),
    stop_reason     LowCardinality(Nullable(String)),
    outcome         Nullable(Float64),
    input_tokens    Nullable(Int64) CODEC(T64, LZ4),
    output_tokens   Nullable(Int64) CODEC(T64, LZ4),
    cost_usd        Nullable(Float64),
    tool_calls      Nullable(Int64) CODEC(T64, LZ4),
    labels          Nullable(String),
    kafka_source    UInt32,
    kafka_partition UInt32,
    kafka_offset    UInt64 CODEC(T64, LZ4),
    ingested_at     DateTime64(3, 'UTC') CODEC(DoubleDelta, LZ4),
    INDEX by_ts ts TYPE minmax GRANULARITY 1,
    INDEX by_offset kafka_offset TYPE minmax GRANULARITY 1
)
ENGINE = {replacing(kafka_offset)}
PARTITION BY toDate(ingested_at)
PRIMARY KEY (run_id, seq)
ORDER BY (run_id, seq, event_id)
TTL toDateTime(ingested_at) + INTERVAL 30 DAY DELETE
SETTINGS ttl_only_drop_parts = 1;

{distributed(events_stored, cityHash64(run_id))}

-- Where the sink inserts. Columns are the Avro container's; it keeps nothing. Plain types on purpose: strings
-- become LowCardinality per block in the view below, 2.5 times as fast as per value in the Avro reader.
-- Columns with a default are those that an older or newer schema may lack.
CREATE TABLE IF NOT EXISTS {database}.events_in {on_cluster}
(
    kafka_source    Int64,
    kafka_partition Int64,
    kafka_offset    Int64,
    event_id        String,
    run_id          String,
    parent_run_id   Nullable(String),
    seq             Int64,
    kind            String,
    ts_ms           DateTime64(3, 'UTC'),
    agent           String,
    agent_version   Nullable(String),
    model           Nullable(String),
    prompt_sha      Nullable(String),
    tools_sha       Nullable(String),
    step_id         Nullable(String),
    tool            Nullable(String),
    args_sha        Nullable(String),
    result_sha      Nullable(String),
    duration_ms     Nullable(Int64),
    status          String,
    error           Nullable(String),
    attempt         Nullable(Int32),
    http_status     Nullable(Int32),
    stop_reason     Nullable(String),
    outcome         Nullable(Float64),
    input_tokens    Nullable(Int64),
    output_tokens   Nullable(Int64),
    cost_usd        Nullable(Float64),
    tool_calls      Nullable(Int64),
    labels          Nullable(String),
    _end            Int64,
    -- A body cut short swallows the head of its neighbour and may still parse; then this does not hold.
    CONSTRAINT aligned CHECK _end = {sentinel}
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.events_fill {on_cluster} TO {database}.events_stored AS
SELECT
    event_id, run_id, parent_run_id, seq, kind, ts_ms AS ts, agent, agent_version, model, prompt_sha, tools_sha,
    step_id, tool, args_sha, result_sha, duration_ms, status, error, attempt, http_status, stop_reason, outcome,
    input_tokens, output_tokens, cost_usd, tool_calls, labels,
    kafka_source, kafka_partition, kafka_offset, now64(3) AS ingested_at
FROM {database}.events_in;

-- Every event once.
CREATE OR REPLACE VIEW {database}.events {on_cluster} AS
SELECT
    event_id, run_id, parent_run_id, seq, kind, ts, toUnixTimestamp64Milli(ts) AS ts_ms,
    agent, agent_version, model, prompt_sha, tools_sha,
    step_id, tool, args_sha, result_sha, duration_ms, status, error, attempt, http_status, stop_reason, outcome,
    input_tokens, output_tokens, cost_usd, tool_calls, labels,
    kafka_partition, kafka_offset, ingested_at
FROM {database}.events_stored FINAL;
