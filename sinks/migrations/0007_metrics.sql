-- Metrics a window and metrics an hour, merged from parts.
--
-- A sketch is a DDSketch: bucket keys and how many values fell into each, relative error 1 %. Sketches of any
-- parts add up: sumMap(keys, counts). The three functions below read a sketch, a tuple of both arrays, so that
-- any grouping can be asked:
--
--   SELECT agent, runwatch_quantile(sumMap(run_ms_keys, run_ms_counts), 0.95) AS p95
--   FROM window_parts WHERE tool IS NULL AND window_start >= now() - INTERVAL 1 HOUR GROUP BY agent
--
-- A part whose tool is null is the agent's own and counts every step; parts per tool count a tool's calls
-- again. Ask for one kind, never for the sum of both.

-- The middle of a bucket: bucket k holds values above g^(k-1) up to g^k, with g = (1 + 0.01) / (1 - 0.01).
-- Source: Masson, Rim, Lee, "DDSketch", VLDB 2019, section 2.1. The lowest key stands for zero and below; the
-- highest ones reach beyond what a float holds.
CREATE FUNCTION IF NOT EXISTS runwatch_bucket {on_cluster} AS (k) ->
    if(k = -2147483648, 0., least(2 * pow(1.01 / 0.99, k) / (1.01 / 0.99 + 1), 1.7976931348623157e308));

-- The quantile q, 0 to 1, of a sketch; null of an empty one. Algorithm 2 of the same paper.
CREATE FUNCTION IF NOT EXISTS runwatch_quantile {on_cluster} AS (sketch, q) ->
    if(empty(sketch.1), NULL,
       runwatch_bucket(sketch.1[arrayFirstIndex(c -> c > q * (arraySum(sketch.2) - 1), arrayCumSum(sketch.2))]));

CREATE FUNCTION IF NOT EXISTS runwatch_mean {on_cluster} AS (sketch) ->
    if(empty(sketch.1), NULL, arraySum((k, c) -> runwatch_bucket(k) * c, sketch.1, sketch.2) / arraySum(sketch.2));

-- Hours, summed up from window parts by sinks/rollup.py and kept for a year. An hour's parts may be tallied from
-- several days of log time (`slot`), when history is imported in pieces: each of these days has its own row,
-- made anew whenever one of its parts changes, so that a late part never has to be added to a sum whose
-- other parts are past their TTL.
CREATE TABLE IF NOT EXISTS {database}.hours_stored{local} {on_cluster}
(
    window_start          DateTime64(3, 'UTC') CODEC(DoubleDelta, LZ4),
    window_ms             Int32 COMMENT 'length of the windows that are summed up',
    agent                 LowCardinality(String),
    agent_version         LowCardinality(Nullable(String)),
    model                 LowCardinality(Nullable(String)),
    tool                  LowCardinality(Nullable(String)),
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
PRIMARY KEY (window_start, window_ms, agent)
ORDER BY (window_start, window_ms, agent, agent_version, model, tool, slot_day)
TTL toDateTime(rolled_at) + INTERVAL 1 YEAR DELETE
SETTINGS allow_nullable_key = 1;

{distributed(hours_stored, cityHash64(agent))}

-- Both grains in one text; the two views below take one each, and the other one's table is not read.
CREATE OR REPLACE VIEW {database}.metrics_by_grain {on_cluster} AS
SELECT
    grain, window_start, window_ms, agent, agent_version, model, tool, closed, watermark,
    events, runs_started, runs_stopped, successes, model_calls, tool_calls, tool_errors, retries, rate_limited,
    input_tokens, output_tokens, cost_usd, outcome_sum, outcome_count,
    run_tool_calls_sum, run_ms_sum, run_cost_usd_sum,
    CAST(reasons, 'Map(String, Int64)') AS stop_reasons,
    successes / nullIf(runs_stopped, 0) AS success_rate,
    outcome_sum / nullIf(outcome_count, 0) AS outcome_mean,
    tool_errors / nullIf(tool_calls, 0) AS tool_error_rate,
    retries / nullIf(tool_calls, 0) AS retry_rate,
    run_tool_calls_sum / nullIf(runs_stopped, 0) AS run_tool_calls_mean,
    runwatch_quantile(run_tool_calls, 0.5) AS run_tool_calls_p50,
    runwatch_quantile(run_tool_calls, 0.95) AS run_tool_calls_p95,
    runwatch_quantile(run_tool_calls, 0.99) AS run_tool_calls_p99,
    run_ms_sum / nullIf(runs_stopped, 0) AS run_ms_mean,
    runwatch_quantile(run_ms, 0.5) AS run_ms_p50,
    runwatch_quantile(run_ms, 0.95) AS run_ms_p95,
    runwatch_quantile(run_ms, 0.99) AS run_ms_p99,
    run_cost_usd_sum / nullIf(runs_stopped, 0) AS run_cost_usd_mean,
    runwatch_quantile(run_cost_usd, 0.5) AS run_cost_usd_p50,
    runwatch_quantile(run_cost_usd, 0.95) AS run_cost_usd_p95,
    runwatch_quantile(run_cost_usd, 0.99) AS run_cost_usd_p99,
    runwatch_mean(call_ms) AS call_ms_mean,
    runwatch_quantile(call_ms, 0.5) AS call_ms_p50,
    runwatch_quantile(call_ms, 0.95) AS call_ms_p95,
    runwatch_quantile(call_ms, 0.99) AS call_ms_p99,
    (input_tokens + output_tokens) / nullIf(model_calls, 0) AS request_tokens_mean,
    runwatch_quantile(request_tokens, 0.5) AS request_tokens_p50,
    runwatch_quantile(request_tokens, 0.95) AS request_tokens_p95,
    runwatch_quantile(request_tokens, 0.99) AS request_tokens_p99,
    -- For coarser groupings: sumMap() these and read the quantile off the sum.
    call_ms AS call_ms_sketch,
    run_tool_calls AS run_tool_calls_sketch,
    run_ms AS run_ms_sketch,
    run_cost_usd AS run_cost_usd_sketch,
    request_tokens AS request_tokens_sketch
FROM
(
    SELECT
        'window' AS grain, p.window_start AS window_start, p.window_ms AS window_ms, p.agent AS agent,
        p.agent_version AS agent_version, p.model AS model, p.tool AS tool,
        min(p.closed) AS closed,
        max(p.watermark) AS watermark,
        sum(p.events) AS events,
        sum(p.runs_started) AS runs_started,
        sum(p.runs_stopped) AS runs_stopped,
        sum(p.successes) AS successes,
        sum(p.model_calls) AS model_calls,
        sum(p.tool_calls) AS tool_calls,
        sum(p.tool_errors) AS tool_errors,
        sum(p.retries) AS retries,
        sum(p.rate_limited) AS rate_limited,
        sum(p.input_tokens) AS input_tokens,
        sum(p.output_tokens) AS output_tokens,
        sum(p.cost_usd) AS cost_usd,
        sum(p.outcome_sum) AS outcome_sum,
        sum(p.outcome_count) AS outcome_count,
        sum(p.run_tool_calls_sum) AS run_tool_calls_sum,
        sum(p.run_ms_sum) AS run_ms_sum,
        sum(p.run_cost_usd_sum) AS run_cost_usd_sum,
        sumMap(p.stop_reasons, p.stop_reason_counts) AS reasons,
        sumMap(p.call_ms_keys, p.call_ms_counts) AS call_ms,
        sumMap(p.run_tool_calls_keys, p.run_tool_calls_counts) AS run_tool_calls,
        sumMap(p.run_ms_keys, p.run_ms_counts) AS run_ms,
        sumMap(p.run_cost_usd_keys, p.run_cost_usd_counts) AS run_cost_usd,
        sumMap(p.request_tokens_keys, p.request_tokens_counts) AS request_tokens
    FROM {database}.window_parts_stored AS p FINAL
    GROUP BY window_start, window_ms, agent, agent_version, model, tool
    UNION ALL
    SELECT
        'hour' AS grain, p.window_start AS window_start, p.window_ms AS window_ms, p.agent AS agent,
        p.agent_version AS agent_version, p.model AS model, p.tool AS tool,
        min(p.closed) AS closed,
        max(p.watermark) AS watermark,
        sum(p.events) AS events,
        sum(p.runs_started) AS runs_started,
        sum(p.runs_stopped) AS runs_stopped,
        sum(p.successes) AS successes,
        sum(p.model_calls) AS model_calls,
        sum(p.tool_calls) AS tool_calls,
        sum(p.tool_errors) AS tool_errors,
        sum(p.retries) AS retries,
        sum(p.rate_limited) AS rate_limited,
        sum(p.input_tokens) AS input_tokens,
        sum(p.output_tokens) AS output_tokens,
        sum(p.cost_usd) AS cost_usd,
        sum(p.outcome_sum) AS outcome_sum,
        sum(p.outcome_count) AS outcome_count,
        sum(p.run_tool_calls_sum) AS run_tool_calls_sum,
        sum(p.run_ms_sum) AS run_ms_sum,
        sum(p.run_cost_usd_sum) AS run_cost_usd_sum,
        sumMap(p.stop_reasons, p.stop_reason_counts) AS reasons,
        sumMap(p.call_ms_keys, p.call_ms_counts) AS call_ms,
        sumMap(p.run_tool_calls_keys, p.run_tool_calls_counts) AS run_tool_calls,
        sumMap(p.run_ms_keys, p.run_ms_counts) AS run_ms,
        sumMap(p.run_cost_usd_keys, p.run_cost_usd_counts) AS run_cost_usd,
        sumMap(p.request_tokens_keys, p.request_tokens_counts) AS request_tokens
    FROM {database}.hours_stored AS p FINAL
    GROUP BY window_start, window_ms, agent, agent_version, model, tool
);

-- By window, from the parts that are kept for 30 days.
CREATE OR REPLACE VIEW {database}.window_metrics {on_cluster} AS
SELECT * EXCEPT grain FROM {database}.metrics_by_grain WHERE grain = 'window';

-- By hour, for a year; a few minutes behind. The newest hour is not over, and counts what is there so far.
CREATE OR REPLACE VIEW {database}.hourly_metrics {on_cluster} AS
SELECT * EXCEPT grain FROM {database}.metrics_by_grain WHERE grain = 'hour';
