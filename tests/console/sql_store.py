"""A few runs in a real front's ClickHouse."""

from __future__ import annotations

from runwatch.clickhouse import connect
from runwatch.config import Settings
from runwatch.sinks.migrate import migrate

_EVENTS = """
INSERT INTO runwatch.events_stored
    (event_id, run_id, seq, kind, ts, agent, agent_version, tool, args_sha, result_sha, duration_ms, status,
     stop_reason, cost_usd, kafka_source, kafka_partition, kafka_offset, ingested_at)
SELECT
    concat(run_id, '-', toString(seq)), concat('r', toString(intDiv(number, 5))) AS run_id, number % 5 AS seq,
    multiIf(seq = 0, 'start', seq = 4, 'stop', 'tool_result') AS kind, now64(3) - 60 + number, 'support', '1.0',
    if(kind = 'tool_result', 'search', NULL), if(kind = 'tool_result', 'aa', NULL), NULL, 10, 'ok',
    if(kind = 'stop', 'success', NULL), 0.01, 1, 0, number, now64(3)
FROM numbers(50)
"""


def fill(settings: Settings) -> None:
    """Makes runwatch's tables, with ten runs of three calls each."""
    client = connect(settings)
    try:
        migrate(client, settings)
        client.command(_EVENTS)
    finally:
        client.close()
