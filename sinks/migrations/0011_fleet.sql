-- What the console's first page asks: the fleet over a day and a month, whole and by agent, version, model and tool.
--
-- Window parts are by the million; these are their sums, made by sinks/rollup.py, each cell as a whole and anew
-- whenever one of its parts changed (why each day of log time has rows of its own, 0007 says). `level` says what a
-- row is of: 'all' (the fleet), 'agent', 'version', 'model' or 'tool' (every one of that name, whatever the rest), or
-- 'each': a group as in hours_stored. Fields that a level does not tell apart are null; null may also be the name.
-- Rows of tools count their calls again, as in window_parts: 'each' has both kinds, 'tool' only these, the other
-- levels none of them.
--
-- A level's rows of one name lie together, in the order of time: a month of one agent is a few thousand rows.
-- Sketches make rows wide, of which a question wants few: hence the small granules.
--
-- Five minutes, kept as long as what they were made of.
CREATE TABLE IF NOT EXISTS {database}.five_minutes_stored{local} {on_cluster}
(
    level                 LowCardinality(String),
    agent                 LowCardinality(Nullable(String)),
    agent_version         LowCardinality(Nullable(String)),
    model                 LowCardinality(Nullable(String)),
    tool                  LowCardinality(Nullable(String)),
    window_start          DateTime64(3, 'UTC') CODEC(DoubleDelta, LZ4),
    window_ms             Int32 COMMENT 'length of the windows that are summed up; 0 where several may be',
    slot_day              Date,
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
    ingested_at           DateTime64(3, 'UTC') COMMENT 'when it was summed up'
)
ENGINE = {replacing(ingested_at)}
PARTITION BY slot_day
PRIMARY KEY (level, agent, agent_version, model, tool, window_start)
ORDER BY (level, agent, agent_version, model, tool, window_start, window_ms, slot_day)
TTL toDateTime(ingested_at) + INTERVAL 30 DAY DELETE
SETTINGS allow_nullable_key = 1, index_granularity = 1024;

{distributed(five_minutes_stored, cityHash64(level))}

-- Hours, kept for a year as those of each group are: these are in hours_stored.
CREATE TABLE IF NOT EXISTS {database}.fleet_hours_stored{local} {on_cluster}
(
    level                 LowCardinality(String),
    agent                 LowCardinality(Nullable(String)),
    agent_version         LowCardinality(Nullable(String)),
    model                 LowCardinality(Nullable(String)),
    tool                  LowCardinality(Nullable(String)),
    window_start          DateTime64(3, 'UTC') CODEC(DoubleDelta, LZ4),
    window_ms             Int32 COMMENT 'length of the windows that are summed up; 0 where several may be',
    slot_day              Date,
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
    rolled_at             DateTime64(3, 'UTC')
)
ENGINE = {replacing(rolled_at)}
PARTITION BY toYYYYMM(slot_day)
PRIMARY KEY (level, agent, agent_version, model, tool, window_start)
ORDER BY (level, agent, agent_version, model, tool, window_start, window_ms, slot_day)
TTL toDateTime(rolled_at) + INTERVAL 1 YEAR DELETE
SETTINGS allow_nullable_key = 1, index_granularity = 1024;

{distributed(fleet_hours_stored, cityHash64(level))}

-- Up to when parts had been stored that are in these sums. Nothing in here: everything is summed up, once.
CREATE TABLE IF NOT EXISTS {database}.rolled_stored{local} {on_cluster}
(
    what      LowCardinality(String),
    until     DateTime64(3, 'UTC'),
    rolled_at DateTime64(3, 'UTC')
)
ENGINE = {replacing(rolled_at)}
ORDER BY what;

{distributed(rolled_stored, cityHash64(what))}
