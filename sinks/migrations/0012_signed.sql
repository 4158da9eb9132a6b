-- Of commands the name of who signed them, as the sink found it by the signature and the file of signers. Empty where
-- nobody asked for signatures.

ALTER TABLE {database}.control_stored{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS signed_by LowCardinality(String) DEFAULT '' AFTER anomaly_id;

-- On a cluster the Distributed table; else the same once more.
ALTER TABLE {database}.control_stored {on_cluster}
    ADD COLUMN IF NOT EXISTS signed_by LowCardinality(String) DEFAULT '' AFTER anomaly_id;

ALTER TABLE {database}.control_in {on_cluster}
    ADD COLUMN IF NOT EXISTS signed_by String DEFAULT '' AFTER kafka_offset;

ALTER TABLE {database}.control_fill {on_cluster} MODIFY QUERY
SELECT
    control_id, scope, mode, ts_ms AS ts, expires_ms AS expires_at, why, by, anomaly_id, signed_by,
    kafka_source, kafka_partition, kafka_offset, now64(3) AS ingested_at
FROM {database}.control_in;

-- Every command that was given, by whom and why.
CREATE OR REPLACE VIEW {database}.control_log {on_cluster} AS
SELECT
    control_id, scope, mode, ts, toUnixTimestamp64Milli(ts) AS ts_ms, expires_at, why, by, anomaly_id, signed_by,
    kafka_partition, kafka_offset, ingested_at
FROM {database}.control_stored FINAL;

-- As in 0008, with who signed a command.
CREATE OR REPLACE VIEW {database}.audit {on_cluster} AS
SELECT
    ts, 'command' AS entry, by AS who, scope, mode AS what, why,
    if(startsWith(scope, 'run:'), substring(scope, 5), '') AS run_id,
    multiIf(startsWith(scope, 'agent:'), substring(scope, 7),
            startsWith(scope, 'version:'), extract(scope, '^version:(.*)@[^@]*$'), '') AS agent,
    if(startsWith(scope, 'tool:'), substring(scope, 6), '') AS tool,
    ifNull(anomaly_id, '') AS anomaly_id, expires_at, toString(signed_by) AS signed_by
FROM {database}.control_stored FINAL
UNION ALL
SELECT
    ts, 'refusal' AS entry, agent AS who, concat('run:', run_id) AS scope, toString(error) AS what,
    ifNull(toString(stop_reason), '') AS why, run_id, toString(agent) AS agent, ifNull(toString(tool), '') AS tool,
    '' AS anomaly_id, CAST(NULL AS Nullable(DateTime64(3, 'UTC'))) AS expires_at, '' AS signed_by
FROM {database}.events_stored FINAL
-- As schemas/reasons.py has them in REFUSALS; an error class of that name may be the agent's own.
WHERE kind != 'stop' AND status = 'error' AND stop_reason IN (
    'approval_required', 'denied', 'killed', 'loop_detected', 'max_cost', 'max_seconds', 'max_steps', 'max_tokens',
    'max_tool_calls'
);
