-- Runs by when they were at work, and tool calls that were made told from such as were refused.

-- A row a run and hour in which it had events: the latest runs, those of an agent, and those that stopped for a reason
-- are found here, whereupon the view `runs` reads the events of these alone. Everything in it is a minimum or a
-- maximum, which an event that is stored twice does not change; so it may also be filled anew at any time. Rows of
-- one run and hour may stand there several times until they are merged: ask with GROUP BY run_id.
--
-- By the hour of the events, since "the latest" is asked for most; by the day stored for the TTL, as for events.
CREATE TABLE IF NOT EXISTS {database}.run_hours_stored{local} {on_cluster}
(
    hour          DateTime64(3, 'UTC') CODEC(DoubleDelta, LZ4),
    agent         LowCardinality(String),
    run_id        String CODEC(ZSTD(1)),
    agent_version SimpleAggregateFunction(max, LowCardinality(Nullable(String))),
    model         SimpleAggregateFunction(max, LowCardinality(Nullable(String))),
    first_ts      SimpleAggregateFunction(min, DateTime64(3, 'UTC')) CODEC(T64, LZ4),
    last_ts       SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(T64, LZ4),
    stopped       SimpleAggregateFunction(max, Bool) COMMENT 'whether the stop was in this hour',
    stop_reason   SimpleAggregateFunction(max, LowCardinality(Nullable(String))),
    ingested_at   SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(T64, LZ4)
)
ENGINE = {aggregating}
PARTITION BY toDate(ingested_at)
ORDER BY (hour, agent, run_id)
TTL toDateTime(ingested_at) + INTERVAL 30 DAY DELETE
SETTINGS ttl_only_drop_parts = 1;

{distributed(run_hours_stored, cityHash64(run_id))}

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.run_hours_fill {on_cluster} TO {database}.run_hours_stored AS
SELECT
    -- toStartOfHour() ends in 2106; clocks that are set wrong do not.
    fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(e.ts_ms), 3600000) * 3600000, 'UTC') AS hour,
    e.agent AS agent, e.run_id AS run_id,
    max(e.agent_version) AS agent_version, max(e.model) AS model,
    min(e.ts_ms) AS first_ts, max(e.ts_ms) AS last_ts,
    max(e.kind = 'stop') AS stopped, max(if(e.kind = 'stop', e.stop_reason, NULL)) AS stop_reason,
    now64(3) AS ingested_at
FROM {database}.events_in AS e
GROUP BY hour, agent, run_id;

-- Events from before. Each by itself: a table of minima and maxima adds them up, in as little memory as it has.
INSERT INTO {database}.run_hours_stored
    (hour, agent, run_id, agent_version, model, first_ts, last_ts, stopped, stop_reason, ingested_at)
SELECT
    fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(ts), 3600000) * 3600000, 'UTC'),
    agent, run_id, agent_version, model, ts, ts, kind = 'stop', if(kind = 'stop', stop_reason, NULL), ingested_at
FROM {database}.events_stored
SETTINGS max_partitions_per_insert_block = 0;

-- Of run hours what people may ask for.
CREATE OR REPLACE VIEW {database}.run_hours {on_cluster} AS
SELECT
    hour, agent, run_id, max(r.agent_version) AS agent_version, max(r.model) AS model,
    min(r.first_ts) AS first_event_at, max(r.last_ts) AS last_event_at,
    max(r.stopped) AS stopped, max(r.stop_reason) AS stop_reason
FROM {database}.run_hours_stored AS r
GROUP BY hour, agent, run_id;

-- One row a run, also for runs that never stopped, or whose start was never seen.
--
-- A run's `stop` event carries its own totals. Where events are missing these say more than what is stored, and
-- where the run never stopped there is only what is stored: so the larger of the two counts.
--
-- A call that the agent's guard refused is a step, and no call: it says nothing of what tools do.
CREATE OR REPLACE VIEW {database}.runs {on_cluster} AS
SELECT
    r.run_id AS run_id,
    r.parent_run_id AS parent_run_id,
    r.agent AS agent,
    r.agent_version AS agent_version,
    r.model AS model,
    r.prompt_sha AS prompt_sha,
    r.tools_sha AS tools_sha,
    r.began AS started_at,
    r.stop_ts AS stopped_at,
    r.last_ts AS last_event_at,
    r.events AS events,
    r.steps AS steps,
    r.model_calls AS model_calls,
    -- coalesce: before ClickHouse 24.12 greatest() of a null is null.
    coalesce(greatest(r.tool_calls, r.stop.1), r.tool_calls) AS tool_calls,
    r.tool_errors AS tool_errors,
    r.retries AS retries,
    r.refused_calls AS refused_calls,
    coalesce(greatest(r.input_tokens, r.stop.2), r.input_tokens, r.stop.2) AS input_tokens,
    coalesce(greatest(r.output_tokens, r.stop.3), r.output_tokens, r.stop.3) AS output_tokens,
    coalesce(greatest(r.cost_usd, r.stop.4), r.cost_usd, r.stop.4) AS cost_usd,
    coalesce(r.stop.5, dateDiff('millisecond', r.began, r.last_ts)) AS duration_ms,
    r.stop.6 AS stop_reason,
    r.stop.7 AS outcome,
    r.missing_events AS missing_events,
    a.anomalies AS anomalies,
    a.rules AS anomaly_rules
FROM
(
    WITH
        -- As schemas/reasons.py has them in REFUSALS.
        e.kind IN ('tool_result', 'model_result') AND ifNull(e.stop_reason, '') IN (
            'approval_required', 'denied', 'killed', 'loop_detected', 'max_cost', 'max_seconds', 'max_steps',
            'max_tokens', 'max_tool_calls'
        ) AS refused
    SELECT
        e.run_id AS run_id,
        -- argMin passes over nulls: the first event of the run that names one.
        argMin(e.parent_run_id, e.seq) AS parent_run_id,
        argMin(e.agent, e.seq) AS agent,
        argMin(e.agent_version, e.seq) AS agent_version,
        argMin(e.model, e.seq) AS model,
        argMin(e.prompt_sha, e.seq) AS prompt_sha,
        argMin(e.tools_sha, e.seq) AS tools_sha,
        -- An event's time is when its step ended: a run whose first step took 3 s began 3 s before that.
        min(e.ts - toIntervalMillisecond(if(e.kind IN ('model_result', 'tool_result'), ifNull(e.duration_ms, 0), 0))) AS began,
        max(e.ts) AS last_ts,
        minOrNullIf(e.ts, e.kind = 'stop') AS stop_ts,
        count() AS events,
        countIf(e.kind IN ('model_result', 'tool_result')) AS steps,
        countIf(e.kind = 'model_result' AND NOT refused) AS model_calls,
        toInt64(countIf(e.kind = 'tool_result' AND NOT refused)) AS tool_calls,
        countIf(e.kind = 'tool_result' AND e.status = 'error' AND NOT refused) AS tool_errors,
        countIf(e.kind = 'tool_result' AND e.attempt > 1 AND NOT refused) AS retries,
        countIf(refused) AS refused_calls,
        sumOrNullIf(e.input_tokens, e.kind = 'model_result') AS input_tokens,
        sumOrNullIf(e.output_tokens, e.kind = 'model_result') AS output_tokens,
        sumOrNullIf(e.cost_usd, e.kind = 'model_result') AS cost_usd,
        argMinIf(
            tuple(e.tool_calls, e.input_tokens, e.output_tokens, e.cost_usd, e.duration_ms, e.stop_reason, e.outcome),
            e.seq, e.kind = 'stop'
        ) AS stop,
        -- Places 0 to the highest that nobody took.
        max(e.seq) + 1 - toInt64(uniqExact(e.seq)) AS missing_events
    FROM {database}.events_stored AS e FINAL
    GROUP BY e.run_id
) AS r
{global}LEFT JOIN
(
    -- Several states of one anomaly count once.
    SELECT assumeNotNull(s.run_id) AS run_id, uniqExact(s.anomaly_id) AS anomalies, arraySort(groupUniqArray(s.rule)) AS rules
    FROM {database}.anomalies_stored AS s
    WHERE s.run_id IS NOT NULL
    GROUP BY s.run_id
) AS a ON a.run_id = r.run_id;

-- Runs by when they began, for questions such as "is this hour's average twice last week's?".
CREATE OR REPLACE VIEW {database}.agent_runs {on_cluster} AS
SELECT started_at AS created_at, * FROM {database}.runs;
