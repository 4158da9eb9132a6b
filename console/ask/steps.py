"""A run's events as steps: what was repeated, refused or lost, and the first three questions in short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from ...schemas import reasons
from ...sinks.query import Row
from .runs import ms

ALREADY_DONE: Final = "AlreadyDone"
"""The error class of a write that was answered with the result of the first one."""
CALLS: Final = ("model_result", "tool_result")


@dataclass(frozen=True, slots=True)
class Step:
    """An event of the run, with what is to be noticed about it."""

    seq: int
    kind: str
    began_ms: int
    at_ms: int
    """When it was over."""
    duration_ms: int | None
    tool: str | None
    model: str | None
    args_sha: str | None
    result_sha: str | None
    status: str | None
    error: str | None
    http_status: int | None
    attempt: int | None
    stop_reason: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    again: int | None
    """The `seq` of the first call of the same tool with the same arguments, if this is not it."""
    same_result: bool
    """Whether that, or a later one like it, had brought the same result, or the same error."""
    refused: bool
    """The guard did not let it be made, or answered from memory."""
    lost_before: int
    """Events that should stand before it and never arrived."""
    anomalies: list[str]
    """Ids of the episodes that stand on it."""


@dataclass(frozen=True, slots=True)
class Found:
    """An episode of the run."""

    anomaly_id: str
    rule: str
    state: str
    severity: str
    onset_ms: int
    at_ms: int
    tool: str | None
    message: str
    seqs: list[int]


@dataclass(frozen=True, slots=True)
class Streak:
    """The same tool, several times in a row."""

    tool: str
    times: int
    first: int
    """The `seq` of its first call."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A tool and arguments that were called more than once."""

    tool: str
    args_sha: str
    seqs: list[int]
    results: int
    """How many different results or errors came of it."""


def steps_of(events: Sequence[Row], found: Sequence[Found] = ()) -> list[Step]:
    """The run's events, in order, as steps."""
    standing: dict[int, list[str]] = {}
    for one in found:
        for seq in one.seqs:
            standing.setdefault(seq, []).append(one.anomaly_id)
    first: dict[tuple[str | None, str], int] = {}
    came: dict[tuple[str | None, str], set[tuple[str | None, str | None]]] = {}
    steps: list[Step] = []
    expected = 0
    for event in events:
        seq, kind = int(event["seq"]), event["kind"]
        again, same = None, False
        if kind == "tool_result" and event["args_sha"]:
            call = (event["tool"], event["args_sha"])
            known = first.setdefault(call, seq)
            again = None if known == seq else known
            answer = (event["result_sha"], event["error"])
            same = answer in came.setdefault(call, set()) and answer != (None, None)
            came[call].add(answer)
        at_ms = ms(event["ts"])
        status = None if event["status"] == "none" else event["status"]
        steps.append(
            Step(
                seq=seq,
                kind=kind,
                began_ms=at_ms - (event["duration_ms"] or 0 if kind in CALLS else 0),
                at_ms=at_ms,
                duration_ms=event["duration_ms"],
                tool=event["tool"],
                model=event["model"],
                args_sha=event["args_sha"],
                result_sha=event["result_sha"],
                status=status,
                error=event["error"],
                http_status=event["http_status"],
                attempt=event["attempt"],
                stop_reason=event["stop_reason"],
                input_tokens=event["input_tokens"],
                output_tokens=event["output_tokens"],
                cost_usd=event["cost_usd"],
                again=again,
                same_result=same,
                refused=kind != "stop"
                and (
                    (status == "error" and event["stop_reason"] in reasons.REFUSALS) or event["error"] == ALREADY_DONE
                ),
                lost_before=max(0, seq - expected),
                anomalies=standing.get(seq, []),
            )
        )
        expected = seq + 1
    return steps


def streaks(steps: Sequence[Step]) -> list[Streak]:
    """Question 1, short: the tools in their order, the same one in a row told once."""
    calls = [one for one in steps if one.kind == "tool_result"]
    out = []
    for tool, group in groupby(calls, key=lambda one: one.tool or "?"):
        same = list(group)
        out.append(Streak(tool, len(same), same[0].seq))
    return out


def repeats(steps: Sequence[Step]) -> list[Repeat]:
    """Question 2, short: calls that were made again with the same arguments, the most frequent first."""
    calls: dict[tuple[str, str], list[Step]] = {}
    for one in steps:
        if one.kind == "tool_result" and one.args_sha:
            calls.setdefault((one.tool or "?", one.args_sha), []).append(one)
    out = [
        Repeat(tool, digest, [one.seq for one in same], len({(one.result_sha, one.error) for one in same}))
        for (tool, digest), same in calls.items()
        if len(same) > 1
    ]
    return sorted(out, key=lambda one: -len(one.seqs))


def answers(steps: Sequence[Step]) -> list[tuple[str, int]]:
    """Question 3, short: what calls came to (`ok`, an error's class, `refused`), the most frequent first."""
    counts: dict[str, int] = {}
    for one in steps:
        if one.kind == "tool_result":
            name = "refused" if one.refused else one.error or one.status or "ok"
            counts[name] = counts.get(name, 0) + 1
    return sorted(counts.items(), key=lambda item: (item[0] != "ok", -item[1]))
