"""Reading back: every question that the command line asks of ClickHouse, and its SQL, in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..clickhouse import connect, told
from ..config import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Row = dict[str, Any]
"""A row by column name; times are aware datetimes in UTC."""

RUN_COLUMNS = (
    "run_id, parent_run_id, agent, agent_version, model, prompt_sha, tools_sha, started_at, stopped_at, "
    "last_event_at, duration_ms, steps, model_calls, tool_calls, tool_errors, retries, refused_calls, input_tokens, "
    "output_tokens, cost_usd, stop_reason, outcome, missing_events, anomalies, anomaly_rules"
)

# The view of runs reads every event of a run; which runs are wanted is told by the hours in which they were at work.
# A run's kind is told by an hour of it; what the whole run says of it, the view decides.
_RUN_IDS = """
SELECT run_id
FROM run_hours_stored
WHERE hour >= fromUnixTimestamp64Milli({{hour_ms:Int64}}) AND hour < fromUnixTimestamp64Milli({{to_ms:Int64}})
  {where}
GROUP BY run_id
HAVING max(last_ts) >= fromUnixTimestamp64Milli({{from_ms:Int64}})
  AND max(last_ts) < fromUnixTimestamp64Milli({{to_ms:Int64}})
  {having}
ORDER BY max(last_ts) DESC, run_id
LIMIT {{limit:UInt32}}
"""

_NEWEST_HOUR = """
SELECT toUnixTimestamp64Milli(max(hour)) AS hour_ms
FROM run_hours_stored
WHERE hour < fromUnixTimestamp64Milli({to_ms:Int64})
"""

RUNS_BY_ID = f"""
SELECT {RUN_COLUMNS} FROM runs
WHERE run_id IN {{run_ids:Array(String)}}
ORDER BY last_event_at DESC, run_id
"""

EVENTS_OF_RUN = """
SELECT
    seq, kind, ts, event_id, step_id, agent, agent_version, model, prompt_sha, tools_sha, parent_run_id,
    tool, args_sha, result_sha, duration_ms, status, error, attempt, http_status, stop_reason, outcome,
    input_tokens, output_tokens, cost_usd, tool_calls, labels, kafka_partition, kafka_offset
FROM events
WHERE run_id = {run_id:String}
ORDER BY seq, ts, event_id
"""

ANOMALY_COLUMNS = (
    "anomaly_id, rule, state, severity, ts_ms, agent, run_id, step_id, tool, value, baseline, message, "
    "onset, opened, agent_version, model, period, seqs, detected_at, ingested_at"
)

ANOMALIES = f"""
SELECT {ANOMALY_COLUMNS} FROM anomalies
WHERE ({{agent:String}} = '' OR agent = {{agent:String}})
  AND ({{run_id:String}} = '' OR run_id = {{run_id:String}})
  AND ({{rule:String}} = '' OR rule = {{rule:String}})
  AND (NOT {{unresolved:Bool}} OR state != 'resolved')
  AND ingested_at > fromUnixTimestamp64Milli({{after_ms:Int64}})
ORDER BY ts DESC, anomaly_id
LIMIT {{limit:UInt32}}
"""

ANOMALY_STEPS = """
SELECT
    anomaly_id, rule, state, severity, ts_ms, agent, run_id, step_id, tool, value, baseline, message,
    onset, agent_version, model, period, seqs, detected_at, ingested_at
FROM anomaly_history
WHERE ingested_at >= fromUnixTimestamp64Milli({after_ms:Int64})
ORDER BY ingested_at, ts, anomaly_id, state
LIMIT {limit:UInt32}
"""

# Without FINAL: a call that is stored twice is one here.
UNAPPROVED = """
SELECT run_id, any(agent) AS agent, tool, args_sha, min(ts) AS since FROM events_stored
WHERE kind = 'tool_result' AND error = 'ApprovalRequired' AND ts > now64(3) - INTERVAL 1 DAY
  AND ingested_at > now64(3) - INTERVAL 1 DAY
GROUP BY run_id, tool, args_sha ORDER BY since, run_id
LIMIT 1000
"""

COUNTS = """
SELECT
    (SELECT count() FROM events) AS events,
    (SELECT uniqExact(run_id) FROM run_hours_stored) AS runs,
    (SELECT count() FROM anomalies) AS anomalies,
    (SELECT count() FROM dead_letters) AS dead_letters
"""

_HOUR_MS = 3_600_000
_BACK_H = (1, 6, 24, 24 * 7)
"""How far back runs are looked for, until there are enough; then as far as there are any."""
_MOST_MS = 253_402_300_800_000
"""The year 10000: later than any event."""


@dataclass(frozen=True)
class Table:
    """The answer to any query: column names and rows in the same order."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Story:
    """A run's answers to the five questions, from stored events alone."""

    run: Row
    """Its row of the view `runs`."""
    events: list[Row]
    """All of its events, in order."""
    calls: list[Row]
    """Which tools were called, in which order (1), with which arguments (2), and what came back (3)."""
    versions: list[Row]
    """Which agent version, model, prompt and tool set ran (4), each with the `seq` from which on it did."""
    stop: Row | None
    """Why it stopped (5): the `stop` event; None where it never did."""
    anomalies: list[Row] = field(default_factory=list)


_VERSION_FIELDS = ("agent", "agent_version", "model", "prompt_sha", "tools_sha")


class Reader:
    """Questions to the ClickHouse in `settings`. Each raises `StoreError`, which says what is wrong."""

    def __init__(self, settings: Settings, client: Client | None = None) -> None:
        """Connects at once, so that a ClickHouse that is away is told first."""
        self._settings = settings
        self._client = client if client is not None else connect(settings)
        self._client.database = settings.database

    def close(self) -> None:
        self._client.close()

    def sql(self, query: str, parameters: Mapping[str, Any] | None = None, **limits: Any) -> Table:
        """Any query, its names looked up in runwatch's database. `limits` are ClickHouse settings."""
        with told(self._settings):
            result = self._client.query(query, parameters=dict(parameters or {}), settings=limits)
        rows = [tuple(_aware(value) for value in row) for row in result.result_rows]
        return Table(tuple(result.column_names), rows)

    def rows(self, query: str, **parameters: Any) -> list[Row]:
        """A query's rows by column name."""
        table = self.sql(query, parameters)
        return [dict(zip(table.columns, row, strict=True)) for row in table.rows]

    def runs(
        self,
        limit: int = 20,
        *,
        agent: str = "",
        version: str = "",
        model: str = "",
        stop_reason: str = "",
        unfinished: bool = False,
        anomalous: bool = False,
        from_ms: int = 0,
        to_ms: int = _MOST_MS,
    ) -> list[Row]:
        """The latest runs by the time of their last event, newest first, that are of all these kinds.

        Of runs whose last event is not older than `from_ms` and older than `to_ms` (epoch milliseconds). Only the
        events of the runs that are found are read.
        """
        wanted = {"agent": agent, "agent_version": version, "model": model, "stop_reason": stop_reason}
        wanted = {name: value for name, value in wanted.items() if value}
        where = [f"AND {name} = {{{name}:String}}" for name in wanted]
        if anomalous:
            where.append("AND run_id IN (SELECT assumeNotNull(run_id) FROM anomalies_stored WHERE run_id IS NOT NULL)")
        query = _RUN_IDS.format(where="\n  ".join(where), having="AND NOT max(stopped)" if unfinished else "")
        asked = {**wanted, "from_ms": from_ms, "to_ms": to_ms, "limit": limit}
        newest_ms = self.rows(_NEWEST_HOUR, to_ms=to_ms)[0]["hour_ms"]
        # No hour before that one is wanted.
        first_ms = from_ms // _HOUR_MS * _HOUR_MS
        for hours in (*_BACK_H, None):
            hour_ms = first_ms if hours is None else max(newest_ms - (hours - 1) * _HOUR_MS, first_ms)
            is_last = hour_ms == first_ms
            found = self.rows(query, hour_ms=hour_ms, **asked)
            if len(found) < limit and not is_last:
                continue
            runs = self.rows(RUNS_BY_ID, run_ids=[row["run_id"] for row in found]) if found else []
            runs = [run for run in runs if _is(run, wanted, unfinished) and _ms(run["last_event_at"]) < to_ms]
            if len(runs) >= limit or is_last:
                return runs
        raise AssertionError("the loop returns: its last turn goes back to the first hour")

    def run(self, run_id: str) -> Row | None:
        """One run, or None where no event of it is stored."""
        found = self.rows(RUNS_BY_ID, run_ids=[run_id])
        return found[0] if found else None

    def events(self, run_id: str) -> list[Row]:
        """A run's events in order."""
        return self.rows(EVENTS_OF_RUN, run_id=run_id)

    def show(self, run_id: str) -> Story | None:
        """A run's story, or None where no event of it is stored."""
        run = self.run(run_id)
        if run is None:
            return None
        events = self.events(run_id)
        return Story(
            run=run,
            events=events,
            calls=[event for event in events if event["kind"] == "tool_result"],
            versions=_versions(events),
            stop=next((event for event in events if event["kind"] == "stop"), None),
            anomalies=self.anomalies(run_id=run_id, limit=1000),
        )

    def anomalies(
        self,
        limit: int = 100,
        *,
        agent: str = "",
        run_id: str = "",
        rule: str = "",
        unresolved: bool = False,
        after_ms: int = 0,
    ) -> list[Row]:
        """Episodes as they stand now, newest first; `after_ms`: only such as changed after that wall-clock time."""
        return self.rows(
            ANOMALIES,
            agent=agent,
            run_id=run_id,
            rule=rule,
            unresolved=unresolved,
            after_ms=after_ms,
            limit=limit,
        )

    def anomaly_steps(self, after_ms: int, limit: int = 1000) -> list[Row]:
        """Openings, escalations and resolutions stored at `after_ms` (wall clock) or later, oldest first.

        For following: ask again with the last row's `ingested_at`, and pass over what was seen already, since
        several may be stored in one millisecond.
        """
        return self.rows(ANOMALY_STEPS, after_ms=after_ms, limit=limit)

    def unapproved(self) -> list[Row]:
        """Calls of the last day that were refused for want of an approval, oldest first, answered or not."""
        return self.rows(UNAPPROVED)

    def counts(self) -> dict[str, int]:
        """How many events, runs, anomalies and dead letters are stored."""
        return {name: int(value) for name, value in self.rows(COUNTS)[0].items()}


def _is(run: Row, wanted: Mapping[str, str], unfinished: bool) -> bool:
    """Whether a run is of that kind; one that had several versions or models is told by its first."""
    is_open = run["stopped_at"] is None
    return (is_open or not unfinished) and all(run[name] == value for name, value in wanted.items())


def _versions(events: list[Row]) -> list[Row]:
    """What ran from which `seq` on; a field that an event leaves out is as it was before."""
    found: list[Row] = []
    now: Row = dict.fromkeys(_VERSION_FIELDS)
    for event in events:
        then = now | {name: event[name] for name in _VERSION_FIELDS if event[name] is not None}
        if then == now:
            continue
        # What was not said so far is no change of what ran.
        if found and all(now[name] in (None, then[name]) for name in _VERSION_FIELDS):
            found[-1] |= then
        else:
            found.append({"seq": event["seq"]} | then)
        now = then
    return found


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _aware(value: Any) -> Any:
    """ClickHouse's times are UTC; clickhouse-connect leaves that out."""
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value
