"""Runs, newest first, by what is known of them. Times are epoch milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ...sinks.query import RUNS_BY_ID, Reader, Row

MOST: Final = 500
"""Runs in one answer."""
MOST_CHOICES: Final = 200

# Ids are the events' primary key: those that begin alike stand together.
_NAMED: Final = """
SELECT run_id FROM events_stored
WHERE startsWith(run_id, {run_id:String})
GROUP BY run_id ORDER BY max(ts) DESC, run_id
LIMIT {limit:UInt32}
"""

# Of the week before the newest hour, whenever that was.
_CHOICES: Final = """
SELECT
    arraySort(groupUniqArray({most:UInt32})(toString(agent))) AS agents,
    arraySort(groupUniqArrayIf({most:UInt32})(toString(agent_version),
        agent_version IS NOT NULL AND ({agent:String} = '' OR agent = {agent:String}))) AS versions,
    arraySort(groupUniqArrayIf({most:UInt32})(toString(stop_reason), stop_reason IS NOT NULL)) AS stop_reasons
FROM run_hours_stored
WHERE hour >= (SELECT max(hour) FROM run_hours_stored) - INTERVAL 7 DAY
"""


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs; what is empty or False does not matter."""

    agent: str = ""
    version: str = ""
    model: str = ""
    stop_reason: str = ""
    run_id: str = ""
    """How its id begins."""
    anomalous: bool = False
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run, in numbers."""

    run_id: str
    parent_run_id: str | None
    agent: str
    agent_version: str | None
    model: str | None
    prompt_sha: str | None
    tools_sha: str | None
    began_ms: int
    stopped_ms: int | None
    last_ms: int
    """When its last event was."""
    duration_ms: int
    steps: int
    model_calls: int
    tool_calls: int
    tool_errors: int
    retries: int
    refused_calls: int
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    stop_reason: str | None
    outcome: float | None
    missing_events: int
    anomalies: int
    rules: list[str]
    """The rules that found something in it."""


@dataclass(frozen=True, slots=True)
class RunList:
    """Some runs, newest first, and whether there are older ones of the kind."""

    runs: list[RunRow]
    more: bool


@dataclass(frozen=True, slots=True)
class RunChoices:
    """What there is to filter by: names in alphabetical order."""

    agents: list[str]
    versions: list[str]
    stop_reasons: list[str]


def runs(reader: Reader, its: RunFilter, limit: int = 50, before_ms: int | None = None) -> RunList:
    """The latest runs of that kind by the time of their last event, which was before `before_ms` if that is given.

    `limit` is 1 to `MOST`. By id, whatever else is asked for is looked at among the `MOST` latest that begin so.
    """
    limit = max(1, min(limit, MOST))
    if its.run_id:
        ids = [row["run_id"] for row in reader.rows(_NAMED, run_id=its.run_id, limit=MOST)]
        found = [
            one for one in rows_of(reader, ids) if _is(one, its) and (before_ms is None or one.last_ms < before_ms)
        ]
    else:
        found = [
            run_row(row)
            for row in reader.runs(
                limit + 1,
                agent=its.agent,
                version=its.version,
                model=its.model,
                stop_reason=its.stop_reason,
                unfinished=its.unfinished,
                anomalous=its.anomalous,
                **({} if before_ms is None else {"to_ms": before_ms}),
            )
        ]
    return RunList(found[:limit], len(found) > limit)


def _is(run: RunRow, its: RunFilter) -> bool:
    wanted = (
        (its.agent, run.agent),
        (its.version, run.agent_version),
        (its.model, run.model),
        (its.stop_reason, run.stop_reason),
    )
    return (
        all(not asked or asked == there for asked, there in wanted)
        and (not its.anomalous or run.anomalies > 0)
        and (not its.unfinished or run.stopped_ms is None)
    )


def rows_of(reader: Reader, run_ids: Sequence[str]) -> list[RunRow]:
    """The runs with these ids, as far as they are stored, newest first."""
    return [run_row(row) for row in reader.rows(RUNS_BY_ID, run_ids=list(run_ids))] if run_ids else []


def choices(reader: Reader, agent: str = "") -> RunChoices:
    """What runs of the latest week can be told apart by; versions of that agent, if one is named."""
    row = reader.rows(_CHOICES, agent=agent, most=MOST_CHOICES)[0]
    return RunChoices(list(row["agents"]), list(row["versions"]), list(row["stop_reasons"]))


def run_row(row: Row) -> RunRow:
    """A row of the view `runs`."""
    return RunRow(
        run_id=row["run_id"],
        parent_run_id=row["parent_run_id"],
        agent=row["agent"],
        agent_version=row["agent_version"],
        model=row["model"],
        prompt_sha=row["prompt_sha"],
        tools_sha=row["tools_sha"],
        began_ms=ms(row["started_at"]),
        stopped_ms=None if row["stopped_at"] is None else ms(row["stopped_at"]),
        last_ms=ms(row["last_event_at"]),
        duration_ms=int(row["duration_ms"]),
        steps=int(row["steps"]),
        model_calls=int(row["model_calls"]),
        tool_calls=int(row["tool_calls"]),
        tool_errors=int(row["tool_errors"]),
        retries=int(row["retries"]),
        refused_calls=int(row["refused_calls"]),
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        cost_usd=row["cost_usd"],
        stop_reason=row["stop_reason"],
        outcome=row["outcome"],
        missing_events=int(row["missing_events"]),
        anomalies=int(row["anomalies"]),
        rules=list(row["anomaly_rules"]),
    )


def ms(at: datetime) -> int:
    """A time of ClickHouse's, to the millisecond."""
    return round(at.timestamp() * 1000)
