-- Which places of a run are stored, so that those between them that are not can be counted without reading its events:
-- as a set, which an event that is stored twice does not change, and one that comes late fills.

ALTER TABLE {database}.run_hours_stored{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS seqs AggregateFunction(groupBitmap, UInt32) AFTER stop_reason;

-- On a cluster the Distributed table; else the same once more.
ALTER TABLE {database}.run_hours_stored {on_cluster}
    ADD COLUMN IF NOT EXISTS seqs AggregateFunction(groupBitmap, UInt32) AFTER stop_reason;

ALTER TABLE {database}.run_hours_fill {on_cluster} MODIFY QUERY
SELECT
    -- toStartOfHour() ends in 2106; clocks that are set wrong do not.
    fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(e.ts_ms), 3600000) * 3600000, 'UTC') AS hour,
    e.agent AS agent, e.run_id AS run_id,
    max(e.agent_version) AS agent_version, max(e.model) AS model,
    min(e.ts_ms) AS first_ts, max(e.ts_ms) AS last_ts,
    max(e.kind = 'stop') AS stopped, max(if(e.kind = 'stop', e.stop_reason, NULL)) AS stop_reason,
    -- Places are what agents say: beyond 32 bits they are the last one.
    groupBitmapState(toUInt32(least(greatest(e.seq, 0), 4294967295))) AS seqs,
    now64(3) AS ingested_at
FROM {database}.events_in AS e
GROUP BY hour, agent, run_id;

-- Events from before, each by itself as in 0010: sets add up too.
INSERT INTO {database}.run_hours_stored
    (hour, agent, run_id, agent_version, model, first_ts, last_ts, stopped, stop_reason, seqs, ingested_at)
SELECT
    fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(ts), 3600000) * 3600000, 'UTC'),
    agent, run_id, agent_version, model, ts, ts, kind = 'stop', if(kind = 'stop', stop_reason, NULL),
    bitmapBuild([toUInt32(least(greatest(seq, 0), 4294967295))]), ingested_at
FROM {database}.events_stored
SETTINGS max_partitions_per_insert_block = 0;
