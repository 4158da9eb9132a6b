"""One run: the five questions, and what else helps to see why it went as it did. Times are epoch milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ...control.scopes import FLEET, agent_scope, run_scope, tool_scope, version_scope
from ...schemas import reasons
from ...sinks.query import Reader, Row
from .runs import RunRow, ms, rows_of, run_row
from .steps import Found, Step, steps_of

MOST_RELATIVES: Final = 100
USUAL_MS: Final = 7 * 86_400_000
HOUR_MS: Final = 3_600_000
AFTER_MS: Final = 600_000
"""A run that hands over may end before the next one begins."""

# Within the days on which the run itself was stored, since days are what is kept apart; and by time, which tells
# what to read of them where ids of runs are by time too, as the SDK's are.
_CHILDREN: Final = """
SELECT DISTINCT run_id FROM events_stored
WHERE ingested_at >= (SELECT min(ingested_at) FROM events_stored WHERE run_id = {run_id:String}) - INTERVAL 1 HOUR
  AND ingested_at <= (SELECT max(ingested_at) FROM events_stored WHERE run_id = {run_id:String}) + INTERVAL 1 HOUR
  AND ts BETWEEN fromUnixTimestamp64Milli({from_ms:Int64}) AND fromUnixTimestamp64Milli({to_ms:Int64})
  AND parent_run_id = {run_id:String}
LIMIT {most:UInt32}
"""
_MARK: Final = """
SELECT
    count() AS events, max(kafka_offset) AS latest,
    (SELECT count() FROM anomalies_stored WHERE run_id = {run_id:String}) AS anomalies,
    (SELECT count() FROM control_stored WHERE scope = {scope:String}) AS commands
FROM events_stored WHERE run_id = {run_id:String}
"""
_SEALED: Final = """
SELECT uniqExact(sha) AS sealed FROM snapshots_stored WHERE sha IN {shas:Array(String)}
"""
AT_ONCE: Final = 1_000
"""Hashes in one question."""
_COMMANDS: Final = """
SELECT scope, mode, toUnixTimestamp64Milli(ts) AS at_ms, by, why, ifNull(anomaly_id, '') AS anomaly_id
FROM control_stored FINAL
WHERE scope IN {scopes:Array(String)} AND mode != 'allow'
  AND (startsWith(scope, 'run:') OR expires_at IS NULL OR expires_at >= fromUnixTimestamp64Milli({from_ms:Int64}))
  AND (startsWith(scope, 'run:') OR ts <= fromUnixTimestamp64Milli({to_ms:Int64}))
ORDER BY ts DESC LIMIT 20
"""
_USUAL: Final = """
SELECT
    sum(runs_stopped) AS runs,
    runwatch_quantile(sumMap(run_tool_calls_sketch.1, run_tool_calls_sketch.2), 0.5) AS tool_calls,
    runwatch_quantile(sumMap(run_tool_calls_sketch.1, run_tool_calls_sketch.2), 0.95) AS tool_calls_p95,
    runwatch_quantile(sumMap(run_ms_sketch.1, run_ms_sketch.2), 0.5) AS duration_ms,
    runwatch_quantile(sumMap(run_ms_sketch.1, run_ms_sketch.2), 0.95) AS duration_ms_p95,
    runwatch_quantile(sumMap(run_cost_usd_sketch.1, run_cost_usd_sketch.2), 0.5) AS cost_usd,
    runwatch_quantile(sumMap(run_cost_usd_sketch.1, run_cost_usd_sketch.2), 0.95) AS cost_usd_p95,
    sum(input_tokens + output_tokens) / nullIf(sum(runs_stopped), 0) AS tokens_mean
FROM hourly_metrics
WHERE agent = {agent:String} AND tool IS NULL
  AND window_start BETWEEN fromUnixTimestamp64Milli({from_ms:Int64}) AND fromUnixTimestamp64Milli({to_ms:Int64})
"""


@dataclass(frozen=True, slots=True)
class Version:
    """What ran from `seq` on."""

    seq: int
    agent: str | None
    agent_version: str | None
    model: str | None
    prompt_sha: str | None
    tools_sha: str | None


@dataclass(frozen=True, slots=True)
class Command:
    """What someone said that bound this run."""

    scope: str
    mode: str
    at_ms: int
    by: str
    why: str
    anomaly_id: str


@dataclass(frozen=True, slots=True)
class Usual:
    """What runs of the agent took in the week before: medians, 95th percentiles, and the mean of tokens."""

    runs: int
    tool_calls: float | None
    tool_calls_p95: float | None
    duration_ms: float | None
    duration_ms_p95: float | None
    cost_usd: float | None
    cost_usd_p95: float | None
    tokens_mean: float | None


@dataclass(frozen=True, slots=True)
class RunStory:
    """All that is known of a run."""

    run: RunRow
    steps: list[Step]
    """Its events in order: which tools (1), with which arguments (2), and what came back (3)."""
    versions: list[Version]
    """Which versions ran (4)."""
    why: str
    """Why it stopped (5), in a sentence."""
    commands: list[Command]
    """What was said that bound it, the latest first."""
    found: list[Found]
    parent: RunRow | None
    children: list[RunRow]
    usual: Usual | None
    sealed: int
    """Payloads of it that are stored, sealed."""


def story(reader: Reader, run_id: str) -> RunStory | None:
    """The run, or None where no event of it is stored."""
    told = story_alone(reader, run_id)
    return None if told is None else replace(told, usual=usual(reader, told.run.agent, told.run.began_ms))


def mark(reader: Reader, run_id: str) -> tuple[int, ...]:
    """Numbers that are others once more is known of the run: they cost little, and its story much."""
    return tuple(int(value) for value in reader.rows(_MARK, run_id=run_id, scope=run_scope(run_id))[0].values())


def story_alone(reader: Reader, run_id: str) -> RunStory | None:
    """The same without what is usual."""
    told = reader.show(run_id)
    if told is None:
        return None
    run = run_row(told.run)
    found = [_found(row) for row in told.anomalies]
    children = [
        row["run_id"]
        for row in reader.rows(
            _CHILDREN, run_id=run_id, from_ms=run.began_ms, to_ms=run.last_ms + AFTER_MS, most=MOST_RELATIVES
        )
    ]
    relatives = {
        one.run_id: one for one in rows_of(reader, [*children, *([run.parent_run_id] if run.parent_run_id else [])])
    }
    steps = steps_of(told.events, found)
    commands = _commands(reader, run, steps)
    return RunStory(
        run=run,
        steps=steps,
        versions=[Version(**row) for row in told.versions],
        why=why(run, commands),
        commands=commands,
        found=found,
        parent=relatives.get(run.parent_run_id or ""),
        children=sorted((relatives[one] for one in children if one in relatives), key=lambda one: one.began_ms),
        usual=None,
        sealed=_sealed(reader, steps),
    )


def usual(reader: Reader, agent: str, at_ms: int) -> Usual | None:
    """What the agent's runs used in the week before; None where none of them has ended."""
    row = reader.rows(_USUAL, agent=agent, from_ms=at_ms - USUAL_MS, to_ms=at_ms + HOUR_MS)[0]
    return Usual(**row) if row["runs"] else None


_WHY: Final = {
    reasons.SUCCESS: "It came to its end by itself.",
    reasons.MAX_STEPS: "Its budget of steps was used up.",
    reasons.MAX_TOOL_CALLS: "Its budget of tool calls was used up.",
    reasons.MAX_SECONDS: "Its time was used up.",
    reasons.MAX_TOKENS: "Its budget of tokens was used up.",
    reasons.MAX_COST: "Its budget of money was used up.",
    reasons.LOOP_DETECTED: "It was stopped, since it looped.",
    reasons.KILLED: "It was stopped.",
    reasons.TOOL_TIMEOUT: "A tool took too long, and the agent let it end there.",
    reasons.TOOL_ERROR: "A tool failed, and the agent let it end there.",
    reasons.MODEL_ERROR: "The model's call failed, and the agent let it end there.",
    reasons.RATE_LIMITED: "It was told to slow down, and the agent let it end there.",
    reasons.DENIED: "A call that it wanted to make was denied.",
    reasons.APPROVAL_REQUIRED: "A write of it waited for a person.",
    reasons.CANCELLED: "It was cancelled from outside.",
    reasons.HANDOFF: "It handed its work over to another run.",
    reasons.UNKNOWN: "It did not say why.",
}


def why(run: RunRow, commands: Sequence[Command]) -> str:
    """Question 5: why the run stopped, in a sentence; names in it are the agent's own."""
    if run.stopped_ms is None:
        return "It has not stopped, as far as is stored."
    reason = run.stop_reason or reasons.UNKNOWN
    if reason in (reasons.KILLED, reasons.LOOP_DETECTED):
        said = next((one for one in commands if one.mode == "stop"), commands[0] if commands else None)
        if said is not None:
            whom = "" if said.scope == run_scope(run.run_id) else f" with {said.scope}"
            return f"It was stopped{whom} by {said.by}: {said.why}"
    return _WHY.get(reason, f"Its own reason: {reason}.")


def _sealed(reader: Reader, steps: Sequence[Step]) -> int:
    shas = sorted({digest for one in steps for digest in (one.args_sha, one.result_sha) if digest})
    return sum(
        int(reader.rows(_SEALED, shas=shas[at : at + AT_ONCE])[0]["sealed"]) for at in range(0, len(shas), AT_ONCE)
    )


def _found(row: Row) -> Found:
    return Found(
        anomaly_id=row["anomaly_id"],
        rule=row["rule"],
        state=row["state"],
        severity=row["severity"],
        onset_ms=ms(row["onset"]),
        at_ms=ms(row["opened"]),
        tool=row["tool"],
        message=row["message"],
        seqs=[int(seq) for seq in row["seqs"]],
    )


def _commands(reader: Reader, run: RunRow, steps: Sequence[Step]) -> list[Command]:
    scopes = [FLEET, agent_scope(run.agent), run_scope(run.run_id)]
    if run.agent_version is not None:
        scopes.append(version_scope(run.agent, run.agent_version))
    scopes += [tool_scope(name) for name in sorted({one.tool for one in steps if one.tool})]
    rows = reader.rows(_COMMANDS, scopes=scopes, from_ms=run.began_ms, to_ms=run.last_ms)
    return [Command(**row) for row in rows]
