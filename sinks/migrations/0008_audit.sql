-- Who was told to stop or to go on, by whom and why, and what agents refused because of it: in the order in which
-- it happened. Commands are all kept; refusals are events, and kept as long as these.
CREATE OR REPLACE VIEW {database}.audit {on_cluster} AS
SELECT
    ts, 'command' AS entry, by AS who, scope, mode AS what, why,
    if(startsWith(scope, 'run:'), substring(scope, 5), '') AS run_id,
    multiIf(startsWith(scope, 'agent:'), substring(scope, 7),
            startsWith(scope, 'version:'), extract(scope, '^version:(.*)@[^@]*$'), '') AS agent,
    if(startsWith(scope, 'tool:'), substring(scope, 6), '') AS tool,
    ifNull(anomaly_id, '') AS anomaly_id, expires_at
FROM {database}.control_stored FINAL
UNION ALL
SELECT
    ts, 'refusal' AS entry, agent AS who, concat('run:', run_id) AS scope, toString(error) AS what,
    ifNull(toString(stop_reason), '') AS why, run_id, toString(agent) AS agent, ifNull(toString(tool), '') AS tool,
    '' AS anomaly_id, CAST(NULL AS Nullable(DateTime64(3, 'UTC'))) AS expires_at
FROM {database}.events_stored FINAL
-- As schemas/reasons.py has them in REFUSALS; an error class of that name may be the agent's own.
WHERE kind != 'stop' AND status = 'error' AND stop_reason IN (
    'approval_required', 'denied', 'killed', 'loop_detected', 'max_cost', 'max_seconds', 'max_steps', 'max_tokens',
    'max_tool_calls'
);
