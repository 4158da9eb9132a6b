"""One incident, whole: what it is and stands on, what may have caused it, what was done, and which runs it is in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from ...sinks.query import Reader
from .causes import Cause, Shift, causes, stops
from .evidence import Around, Evidence, around, evidence
from .incidents import IncidentLine, Severity, Wanted, incidents, line_of, single
from .span import HOUR_MS, MINUTE_MS

MOST_RUNS: Final = 20
MOST_OTHERS: Final = 8
MOST_COMMANDS: Final = 30
MOST_CALLS: Final = 60


@dataclass(frozen=True, slots=True)
class State:
    """A state that an episode went through."""

    state: str
    severity: Severity
    ts_ms: int
    """Event time."""
    stored_ms: int
    """Wall clock."""
    message: str
    value: float
    baseline: float | None


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a loop stands on."""

    seq: int
    tool: str | None
    args_sha: str | None
    result_sha: str | None
    status: str
    error: str | None
    http_status: int | None
    attempt: int | None
    duration_ms: int | None
    ts_ms: int


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run that is involved."""

    run_id: str
    agent: str
    agent_version: str | None
    started_ms: int
    calls: int
    repeats: int
    """Calls that were made before, arguments and all."""
    errors: int
    retries: int
    stop_reason: str | None
    """None as long as it goes on, as far as is stored."""
    loops: int
    """Loops that were found in it."""


@dataclass(frozen=True, slots=True)
class Command:
    """What somebody did about it, or the policy."""

    ts_ms: int
    """Wall clock."""
    scope: str
    mode: str
    by: str
    why: str
    expires_ms: int | None
    is_of_this: bool
    """Whether the command names this very incident."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was done: the latest commands, and how many there are in all."""

    commands: list[Command]
    total: int
    runs_stopped: int
    """Single runs that were stopped because of this, or of loops of the same agent at the same time."""
    refusals: int
    """Calls that the run's guard refused, where it is one run's."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Everything about one episode."""

    line: IncidentLine
    step_id: str | None
    period: int | None
    seqs: list[int]
    states: list[State]
    around: Around
    """Of a loop: around the first of those like it, which are one line of the list."""
    evidence: Evidence
    calls: list[Call]
    """What a loop stands on."""
    causes: list[Cause]
    stops: list[Shift]
    done: Done
    runs: list[RunLine]
    others: list[IncidentLine]
    """What else was wrong at that time; of a loop: other loops like it first."""


def incident(reader: Reader, anomaly_id: str, now_ms: int) -> Incident | None:
    """The episode of that id, or None where there is none. `now_ms`: wall clock. Raises `StoreError`."""
    line = single(reader, anomaly_id)
    if line is None:
        return None
    history = reader.rows(_HISTORY, anomaly_id=anomaly_id)
    last = history[-1]
    time = _time(reader, line, now_ms)
    return Incident(
        line=line,
        step_id=last["step_id"],
        period=last["period"],
        seqs=[int(seq) for seq in last["seqs"]],
        states=[_state(row) for row in history],
        around=time,
        evidence=evidence(reader, line, time),
        calls=_calls(reader, line, last["seqs"]),
        causes=causes(reader, line, time),
        stops=stops(reader, line, time),
        done=_done(reader, line, time),
        runs=_runs(reader, line, time),
        others=_others(reader, line, time),
    )


def _time(reader: Reader, line: IncidentLine, now_ms: int) -> Around:
    """When to look. What made one run loop began with the first of those that loop likewise."""
    if line.run_id is None:
        return around(line, now_ms)
    whole = line_of(reader, line)
    return around(
        replace(line, onset_ms=whole.onset_ms, latest_ms=whole.latest_ms, is_open=whole.is_open or line.is_open), now_ms
    )


def _state(row: dict[str, Any]) -> State:
    return State(
        row["state"], row["severity"], int(row["ts_ms"]), int(row["stored_ms"]), row["message"], float(row["value"]),
        None if row["baseline"] is None else float(row["baseline"]),
    )  # fmt: skip


def _calls(reader: Reader, line: IncidentLine, seqs: list[int]) -> list[Call]:
    if line.run_id is None or not seqs:
        return []
    rows = reader.rows(_CALLS, run_id=line.run_id, seqs=list(seqs)[-MOST_CALLS:])
    names = ("seq", "tool", "args_sha", "result_sha", "status", "error", "http_status", "attempt", "duration_ms")
    return [Call(**{name: row[name] for name in names}, ts_ms=int(row["ts_ms"])) for row in rows]


def _done(reader: Reader, line: IncidentLine, time: Around) -> Done:
    agent = "" if line.agent == "*" else line.agent
    scopes = ["fleet"]
    if agent:
        scopes.append(f"agent:{agent}")
    if line.tool:
        scopes.append(f"tool:{line.tool}")
    if line.run_id:
        scopes.append(f"run:{line.run_id}")
    rows = reader.rows(
        _COMMANDS,
        anomaly_id=line.anomaly_id,
        scopes=scopes,
        versions=f"version:{agent}@" if agent else "-",
        of_one=line.run_id is not None,
        agent=agent,
        onset_ms=time.onset_ms,
        until_ms=time.until_ms,
        limit=MOST_COMMANDS,
    )
    refusals = reader.rows(_REFUSALS, run_id=line.run_id)[0]["refusals"] if line.run_id else 0
    commands = [
        Command(
            int(row["ts_ms"]), row["scope"], row["mode"], row["by"], row["why"],
            None if row["expires_ms"] is None else int(row["expires_ms"]), bool(row["is_of_this"]),
        )
        for row in rows
    ]  # fmt: skip
    first = rows[0] if rows else {"total": 0, "runs_stopped": 0}
    return Done(commands, int(first["total"]), int(first["runs_stopped"]), int(refusals))


def _runs(reader: Reader, line: IncidentLine, time: Around) -> list[RunLine]:
    if line.run_id is not None:
        found = {line.run_id: {"run_id": line.run_id}}
    else:
        rows = reader.rows(
            _BUSIEST,
            agent="" if line.agent == "*" else line.agent,
            tool=line.tool or "",
            version=line.agent_version or "",
            from_ms=time.onset_ms,
            to_ms=min(max(time.until_ms, line.latest_ms), time.onset_ms + 6 * HOUR_MS),
            limit=MOST_RUNS,
        )
        found = {row["run_id"]: row for row in rows}
    if not found:
        return []
    rows = reader.rows(_RUNS, run_ids=list(found))
    lines = [
        RunLine(
            row["run_id"], row["agent"], row["agent_version"], int(row["started_ms"]), int(row["calls"]),
            int(row["repeats"]), int(row["errors"]), int(row["retries"]), row["stop_reason"], int(row["loops"]),
        )
        for row in rows
    ]  # fmt: skip
    return sorted(lines, key=lambda run: (run.stop_reason is not None, -run.loops, -run.calls, run.run_id))


def _others(reader: Reader, line: IncidentLine, time: Around) -> list[IncidentLine]:
    wanted = Wanted(since_ms=time.onset_ms - 5 * MINUTE_MS, until_ms=max(time.until_ms, line.latest_ms))
    found = incidents(reader, wanted, "worst", MOST_OTHERS + 1).lines
    # The line that stands for this loop and others like it stays.
    found = [each for each in found if each.is_group or each.anomaly_id != line.anomaly_id]
    found.sort(key=lambda each: not _alike(each, line))
    return found[:MOST_OTHERS]


def _alike(one: IncidentLine, other: IncidentLine) -> bool:
    return one.agent in (other.agent, "*") or other.agent == "*" or (one.tool is not None and one.tool == other.tool)


# -- SQL ---------------------------------------------------------------------------------------------

_HISTORY: Final = """
SELECT
    state, severity, toUnixTimestamp64Milli(ts) AS ts_ms, toUnixTimestamp64Milli(ingested_at) AS stored_ms, message,
    value, baseline, step_id, period, seqs
FROM anomalies_stored FINAL
WHERE anomaly_id = {anomaly_id:String}
ORDER BY indexOf(['open', 'escalated', 'resolved'], state), ts
"""

_CALLS: Final = """
SELECT
    seq, tool, args_sha, result_sha, status, error, http_status, attempt, duration_ms,
    toUnixTimestamp64Milli(ts) AS ts_ms
FROM events
WHERE run_id = {run_id:String} AND seq IN {seqs:Array(Int64)} AND kind != 'stop'
ORDER BY seq
"""

# Commands that name the incident; those of its agent's loops at the same time; and what people did to its agent,
# version, tool, run or the whole fleet since: commands have the wall clock, and so has `ingested_at`.
_COMMANDS: Final = """
WITH
    (SELECT min(ingested_at) FROM anomalies_stored WHERE anomaly_id = {anomaly_id:String}) AS found,
    (
        SELECT groupUniqArray(anomaly_id) FROM anomalies_stored
        WHERE NOT {of_one:Bool} AND agent = {agent:String} AND run_id IS NOT NULL
          AND ts >= fromUnixTimestamp64Milli({onset_ms:Int64}) AND ts <= fromUnixTimestamp64Milli({until_ms:Int64})
    ) AS loops
SELECT
    scope, mode, by, why, toUnixTimestamp64Milli(ts) AS ts_ms,
    if(expires_at IS NULL, NULL, toUnixTimestamp64Milli(assumeNotNull(expires_at))) AS expires_ms,
    ifNull(anomaly_id, '') = {anomaly_id:String} AS is_of_this,
    count() OVER () AS total,
    sum(mode = 'stop' AND startsWith(scope, 'run:')) OVER () AS runs_stopped
FROM control_log
WHERE ifNull(anomaly_id, '') = {anomaly_id:String} OR has(loops, ifNull(anomaly_id, '-'))
   OR ((scope IN {scopes:Array(String)} OR startsWith(scope, {versions:String})) AND ts >= found - INTERVAL 1 MINUTE)
ORDER BY is_of_this DESC, startsWith(scope, 'run:'), ts DESC
LIMIT {limit:UInt32}
"""

_REFUSALS: Final = """
SELECT count() AS refusals FROM events
WHERE run_id = {run_id:String} AND kind != 'stop' AND status = 'error' AND stop_reason IS NOT NULL
"""

# Runs of the agent (with that tool) that did the most since the onset. Copies of events count twice here, and alone
# for the choice.
_BUSIEST: Final = """
SELECT run_id, count() AS calls
FROM events_stored
WHERE kind = 'tool_result'
  AND ts >= fromUnixTimestamp64Milli({from_ms:Int64}) AND ts < fromUnixTimestamp64Milli({to_ms:Int64})
  AND ({agent:String} = '' OR agent = {agent:String})
  AND ({tool:String} = '' OR tool = {tool:String})
  AND ({version:String} = '' OR agent_version = {version:String})
GROUP BY run_id
ORDER BY calls DESC, run_id
LIMIT {limit:UInt32}
"""

_RUNS: Final = """
SELECT
    e.run_id AS run_id, argMin(e.agent, e.seq) AS agent, argMin(e.agent_version, e.seq) AS agent_version,
    toUnixTimestamp64Milli(min(e.ts)) AS started_ms,
    countIf(e.kind = 'tool_result') AS calls,
    calls - uniqExactIf(tuple(e.tool, ifNull(e.args_sha, toString(e.seq))), e.kind = 'tool_result') AS repeats,
    countIf(e.kind = 'tool_result' AND e.status = 'error') AS errors,
    countIf(e.kind = 'tool_result' AND e.attempt > 1) AS retries,
    anyIf(e.stop_reason, e.kind = 'stop') AS stop_reason,
    (
        SELECT groupArray(assumeNotNull(run_id)) FROM
        (SELECT DISTINCT run_id, anomaly_id FROM anomalies_stored WHERE run_id IN {run_ids:Array(String)})
    ) AS looping,
    countEqual(looping, run_id) AS loops
FROM events AS e
WHERE e.run_id IN {run_ids:Array(String)}
GROUP BY e.run_id
"""
