"""Incidents as lines of a list: an episode a line, but loops of an agent's runs in a tool together, since they come
by the hundred. Times are event times in epoch milliseconds unless said otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from ...schemas.rule_names import matching
from ...sinks.query import Reader
from .rule_words import in_words
from .standing import APART_MIN, episodes

Severity = Literal["info", "warning", "critical"]
Order = Literal["worst", "newest"]

MOST_LINES: Final = 100
MOST_MEMBERS: Final = 200
_LEVELS: Final[tuple[Severity, ...]] = ("info", "warning", "critical")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which incidents. What is None is not asked about."""

    agent: str | None = None
    tool: str | None = None
    rule: str | None = None
    """A rule, or a pattern such as `loop.*`."""
    severity: Severity | None = None
    """At least so bad."""
    is_open: bool | None = None
    since_ms: int | None = None
    """Opened, or open, after that time."""
    until_ms: int | None = None
    """Begun before that time."""


@dataclass(frozen=True, slots=True)
class IncidentLine:
    """One episode, or loops of the same agent in the same tool, one soon after the other."""

    anomaly_id: str
    """The episode's; of several loops that of the worst and newest, one that is under way before all others."""
    rule: str
    rules: dict[str, int]
    """Episodes by rule, the most frequent first."""
    words: str
    """The rule in words."""
    severity: Severity
    is_open: bool
    episodes: int
    open_episodes: int
    runs: int
    """How many runs looped; 0 where it is no trouble of single runs."""
    sentence: str
    agent: str
    """`*` for several."""
    agent_version: str | None
    model: str | None
    tool: str | None
    run_id: str | None
    onset_ms: int
    opened_ms: int
    latest_ms: int
    stored_ms: int
    """When its latest state was stored: wall clock."""
    value: float
    baseline: float | None

    @property
    def is_group(self) -> bool:
        """Whether it stands for several episodes."""
        return self.episodes > 1


@dataclass(frozen=True, slots=True)
class Incidents:
    """A page of the list."""

    lines: list[IncidentLine]
    total: int
    """How many lines there are in all."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What is open: lines, not episodes."""

    critical: int
    open: int


def newest_ms(reader: Reader) -> int:
    """When the newest state of an episode was stored (wall clock); 0 where none is. Cheap: to be asked often."""
    return int(reader.rows(_NEWEST)[0]["newest_ms"])


def incidents(
    reader: Reader, wanted: Wanted, order: Order = "worst", limit: int = MOST_LINES, offset: int = 0
) -> Incidents:
    """Lines: those that are open first; then by `order`. Raises `StoreError`."""
    condition, parameters = _condition(wanted)
    ranked = "level DESC, scope, onset_ms, latest_ms DESC" if order == "worst" else "latest_ms DESC"
    rows = reader.rows(
        f"SELECT *, count() OVER () AS total FROM ({_LINES.format(condition=condition)}) "
        f"{'' if wanted.is_open is None else 'WHERE is_open' if wanted.is_open else 'WHERE NOT is_open'} "
        f"ORDER BY is_open DESC, {ranked}, anomaly_id LIMIT {{limit:UInt32}} OFFSET {{offset:UInt32}}",
        **parameters,
        limit=max(1, min(limit, MOST_LINES)),
        offset=max(0, offset),
    )
    return Incidents([_line(row) for row in rows], int(rows[0]["total"]) if rows else 0)


def members(reader: Reader, line: IncidentLine, limit: int = MOST_MEMBERS) -> list[IncidentLine]:
    """The episodes that a line stands for, those under way first, then the newest. Raises `StoreError`."""
    rows = reader.rows(
        f"{_SINGLES} WHERE family = 'loop' AND agent = {{agent:String}} AND ifNull(tool, '') = {{tool:String}}"
        " AND opened_ms BETWEEN {from_ms:Int64} AND {to_ms:Int64}"
        " ORDER BY is_open DESC, level DESC, latest_ms DESC, anomaly_id LIMIT {limit:UInt32}",
        agent=line.agent,
        tool=line.tool or "",
        from_ms=line.opened_ms,
        to_ms=line.latest_ms,
        limit=limit,
    )
    return [_line(row) for row in rows]


def line_of(reader: Reader, loop: IncidentLine) -> IncidentLine:
    """The line of the list that a single loop is in. Raises `StoreError`."""
    lines = incidents(reader, Wanted(agent=loop.agent, tool=loop.tool, rule="loop.*"), "newest").lines
    return next(
        (line for line in lines if line.tool == loop.tool and line.opened_ms <= loop.opened_ms <= line.latest_ms),
        loop,
    )


def single(reader: Reader, anomaly_id: str) -> IncidentLine | None:
    """One episode by its id, or None where there is none. Raises `StoreError`."""
    rows = reader.rows(_SINGLES.replace(_ALL, episodes("h.anomaly_id = {anomaly_id:String}")), anomaly_id=anomaly_id)
    return _line(rows[0]) if rows else None


def count_open(reader: Reader) -> Counts:
    """How many lines are open, and how many of these are critical. Raises `StoreError`."""
    row = reader.rows(
        f"SELECT countIf(level = 3) AS critical, count() AS open FROM ({_LINES.format(condition='1')}) WHERE is_open"
    )[0]
    return Counts(int(row["critical"]), int(row["open"]))


# -- SQL ---------------------------------------------------------------------------------------------

_NEWEST: Final = "SELECT toUnixTimestamp64Milli(max(ingested_at)) AS newest_ms FROM anomalies_stored"

_ALL: Final = episodes()

# Columns of a line, of one episode.
_SINGLES: Final = f"""
SELECT
    *, [rule] AS rules, [toUInt64(1)] AS rule_counts, toUInt64(1) AS episode_count, toUInt64(is_open) AS open_count,
    toUInt64(run_id IS NOT NULL AND family = 'loop') AS run_count
FROM ({_ALL})
"""

# Loops are cut into lines where nothing of the kind began for a while; whatever else there is, is a line of its own.
_LINES: Final = f"""
SELECT
    one.1 AS anomaly_id, one.2 AS rule, family, g_scope AS scope, g_level AS level, g_open AS is_open,
    one.9 AS agent, one.3 AS agent_version, one.4 AS model, one.10 AS tool, one.5 AS run_id, one.6 AS value,
    one.7 AS baseline, one.8 AS message, g_onset_ms AS onset_ms, g_opened_ms AS opened_ms, g_latest_ms AS latest_ms,
    g_stored_ms AS stored_ms, by_rule.1 AS rules, by_rule.2 AS rule_counts, episode_count, open_count,
    if(family = 'loop', g_runs, 0) AS run_count
FROM
(
SELECT
    family, any(scope) AS g_scope, max(level) AS g_level, max(is_open) AS g_open,
    min(onset_ms) AS g_onset_ms, min(opened_ms) AS g_opened_ms, max(latest_ms) AS g_latest_ms,
    max(stored_ms) AS g_stored_ms, count() AS episode_count, countIf(is_open) AS open_count,
    uniqExact(run_id) AS g_runs, sumMap([rule], [toUInt64(1)]) AS by_rule,
    argMax(tuple(anomaly_id, rule, agent_version, model, run_id, value, baseline, message, agent, tool),
           tuple(is_open, level, latest_ms, anomaly_id)) AS one
FROM
(
    SELECT
        *, indexOf(['fleet', 'drift', 'loop', 'policy'], family) AS scope,
        sum(is_first) OVER (PARTITION BY kind ORDER BY opened_ms, anomaly_id) AS part
    FROM
    (
        SELECT
            *,
            if(family = 'loop', tuple(agent, ifNull(tool, '')), tuple(anomaly_id, '')) AS kind,
            opened_ms - lagInFrame(opened_ms, 1, toInt64(0))
                OVER (PARTITION BY kind ORDER BY opened_ms, anomaly_id
                      ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) > {APART_MIN * 60_000} AS is_first
        FROM ({_ALL})
        WHERE {{condition}}
    )
)
GROUP BY family, kind, part
)
"""


def _condition(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """What holds of the episodes that are looked at, and the parameters of that."""
    said: list[str] = ["1"]
    parameters: dict[str, Any] = {}
    if wanted.agent is not None:
        said.append("agent = {agent:String}")
        parameters["agent"] = wanted.agent
    if wanted.tool is not None:
        said.append("tool = {tool:String}")
        parameters["tool"] = wanted.tool
    if wanted.rule is not None:
        said.append("rule IN {rules:Array(String)}")
        # A rule of another release is no pattern of ours, but may be stored.
        parameters["rules"] = matching(wanted.rule) or [wanted.rule]
    if wanted.severity is not None:
        said.append("level >= {level:UInt8}")
        parameters["level"] = _LEVELS.index(wanted.severity) + 1
    if wanted.since_ms is not None:
        said.append("(latest_ms >= {since_ms:Int64} OR is_open)")
        parameters["since_ms"] = wanted.since_ms
    if wanted.until_ms is not None:
        said.append("onset_ms < {until_ms:Int64}")
        parameters["until_ms"] = wanted.until_ms
    return " AND ".join(said), parameters


def _line(row: Mapping[str, Any]) -> IncidentLine:
    rules = dict(
        sorted(zip(row["rules"], map(int, row["rule_counts"]), strict=True), key=lambda each: (-each[1], each[0]))
    )
    count, runs = int(row["episode_count"]), int(row["run_count"])
    return IncidentLine(
        anomaly_id=row["anomaly_id"],
        rule=row["rule"],
        rules=rules,
        words=in_words(row["rule"]) if runs < 2 else "Runs loop",
        severity=_LEVELS[max(int(row["level"]), 1) - 1],
        is_open=bool(row["is_open"]),
        episodes=count,
        open_episodes=int(row["open_count"]),
        runs=runs,
        sentence=row["message"] if runs < 2 else _together(runs, row["agent"], row["tool"], rules),
        agent=row["agent"],
        agent_version=row["agent_version"],
        model=row["model"],
        tool=row["tool"],
        run_id=row["run_id"],
        onset_ms=int(row["onset_ms"]),
        opened_ms=int(row["opened_ms"]),
        latest_ms=int(row["latest_ms"]),
        stored_ms=int(row["stored_ms"]),
        value=float(row["value"]),
        baseline=None if row["baseline"] is None else float(row["baseline"]),
    )


def _together(runs: int, agent: str, tool: str | None, rules: Mapping[str, int]) -> str:
    where = f" in {tool}" if tool else ""
    most = ", ".join(f"{in_words(rule).lower()} {count:,}" for rule, count in list(rules.items())[:3])
    return f"{runs:,} runs of {agent} loop{where}: {most}."
