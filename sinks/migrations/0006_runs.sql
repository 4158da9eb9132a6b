-- One row a run, also for runs that never stopped, or whose start was never seen.
--
-- A run's `stop` event carries its own totals. Where events are missing these say more than what is stored, and
-- where the run never stopped there is only what is stored: so the larger of the two counts.
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
        countIf(e.kind = 'model_result') AS model_calls,
        toInt64(countIf(e.kind = 'tool_result')) AS tool_calls,
        countIf(e.kind = 'tool_result' AND e.status = 'error') AS tool_errors,
        countIf(e.kind = 'tool_result' AND e.attempt > 1) AS retries,
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
