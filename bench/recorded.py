"""Recorded runs, and what a loop rule is worth on them: whom it flags, rightly or not, and how much that saves.

A run is good if its work was solved (`outcome` 1) or, where nobody judged it, handed in (`stop_reason` success);
to flag a good run is a mistake. Saved are the calls after the flagged one, of bad runs, as a share of all calls
of all bad runs: what a rule that stops a run would have spared.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..producers.recorded import iter_events
from ..producers.rejects import Reject
from ..schemas.anomalies import Anomaly
from ..schemas.events import AgentEvent
from ..schemas.json_form import RunOrder, from_json
from .errors import BenchError
from .figures import Figures

SETS = ("tau2", "sweagent_gpt4", "intercode")
"""Files of recorded runs, by what stands before `.jsonl.gz`."""
CASES = "loop_cases.jsonl"
EXHAUSTED = frozenset({"max_steps", "too_many_errors"})
"""Stop reasons of a run that its harness had to end."""


@dataclass(frozen=True)
class RecordedRuns:
    """One set of recorded runs."""

    name: str
    events: Sequence[AgentEvent]

    @cached_property
    def stops(self) -> Mapping[str, AgentEvent]:
        """Each run's stop event."""
        return {event.run_id: event for event in self.events if event.kind == "stop"}

    @cached_property
    def calls(self) -> Mapping[str, Sequence[AgentEvent]]:
        """Each run's tool calls, in their order."""
        out: dict[str, list[AgentEvent]] = {run: [] for run in self.stops}
        for event in self.events:
            if event.kind == "tool_result":
                out[event.run_id].append(event)
        return out

    @cached_property
    def good(self) -> frozenset[str]:
        """The runs that came to a good end."""
        return frozenset(run for run, stop in self.stops.items() if is_good(stop))

    @cached_property
    def exhausted(self) -> frozenset[str]:
        """The runs that went on until their harness ended them."""
        return frozenset(run for run, stop in self.stops.items() if stop.stop_reason in EXHAUSTED)


@dataclass(frozen=True, slots=True)
class Case:
    """A short sequence on which a loop rule is asked for one thing: is it a loop?"""

    name: str
    kind: str
    is_loop: bool
    settled: bool
    """Whether everyone agrees; the others are a matter of thresholds."""
    events: Sequence[AgentEvent]


def is_good(stop: AgentEvent) -> bool:
    """Whether the run that stopped so came to a good end."""
    return stop.outcome == 1.0 if stop.outcome is not None else stop.stop_reason == "success"


def find_folder(given: Path | None) -> Path | None:
    """The folder of recorded runs: the one given, else RUNWATCH_RECORDED, else `shared/data` beside the repository.

    None where nobody named one and there is none. Raises `BenchError` where the one that was named lacks a file.
    """
    named = given or (Path(value) if (value := os.environ.get("RUNWATCH_RECORDED")) else None)
    folder = named or Path(__file__).resolve().parents[2] / "shared" / "data"
    lacking = [name for name in (*(f"{one}.jsonl.gz" for one in SETS), CASES) if not (folder / name).is_file()]
    if lacking and named:
        raise BenchError(f"The folder of recorded runs {folder} has no {', '.join(lacking)}")
    return None if lacking else folder


def read(folder: Path, name: str) -> RecordedRuns:
    """The set of that name. Raises `BenchError` for a line that holds no event, `ReadingError` for no file."""
    return RecordedRuns(name, list(iter_events(folder / f"{name}.jsonl.gz", on_reject=_refuse)))


def read_cases(folder: Path) -> list[Case]:
    """The short sequences. Raises `BenchError` where there are none."""
    try:
        lines = (folder / CASES).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BenchError(f"{folder / CASES} cannot be read: {error.strerror or error}") from error
    return [_case(json.loads(line)) for line in lines]


def score(runs: RecordedRuns, flagged: Mapping[str, int]) -> Figures:
    """What it is worth to have flagged these runs, each at the call of that place (from 0) among its calls."""
    bad = runs.stops.keys() - runs.good
    total = sum(len(runs.calls[run]) for run in bad)
    saved = sum(len(runs.calls[run]) - 1 - flagged[run] for run in bad & flagged.keys())
    return {
        "flagged": len(flagged),
        "good_flagged": len(runs.good & flagged.keys()),
        "saved_pct": round(100 * saved / total, 1) if total else 0.0,
        "exhausted": len(runs.exhausted),
        "exhausted_found": len(runs.exhausted & flagged.keys()),
    }


def flagged_at(runs: RecordedRuns, anomalies: Iterable[Anomaly], severity: str = "critical") -> dict[str, int]:
    """At which of its calls each run was first flagged with that severity, by anomalies that name a run.

    The anomalies are those of a backtest of the set's events: `source_offset` is the place among them.
    """
    first: dict[str, int] = {}
    for one in anomalies:
        if one.run_id is not None and one.source_offset is not None and one.severity == severity:
            first[one.run_id] = min(one.source_offset, first.get(one.run_id, one.source_offset))
    done = dict.fromkeys(first, -1)
    out: dict[str, int] = {}
    for offset, event in enumerate(runs.events):
        at = first.get(event.run_id)
        if at is None or offset > at:
            continue
        done[event.run_id] += event.kind == "tool_result"
        if offset == at:
            out[event.run_id] = max(done[event.run_id], 0)
    return out


def score_cases(cases: Iterable[Case], loops: Iterable[bool]) -> Figures:
    """How many of the cases were told right, by whether each was said to be a loop."""
    told = list(zip(cases, loops, strict=True))
    settled = [case.is_loop == found for case, found in told if case.settled]
    others = [case.is_loop == found for case, found in told if not case.settled]
    return {
        "settled": len(settled),
        "settled_right": sum(settled),
        "others": len(others),
        "others_right": sum(others),
    }


def by_run(events: Iterable[AgentEvent]) -> Iterator[list[AgentEvent]]:
    """The tool calls of each run among these events."""
    runs: dict[str, list[AgentEvent]] = {}
    for event in events:
        if event.kind == "tool_result":
            runs.setdefault(event.run_id, []).append(event)
    yield from runs.values()


def _case(raw: Mapping[str, Any]) -> Case:
    order = RunOrder()
    return Case(
        name=raw["id"],
        kind=raw["kind"],
        is_loop=raw["expected"] == "loop",
        settled=raw["settled"],
        events=[from_json(event, order) for event in raw["events"]],
    )


def _refuse(reject: Reject) -> None:
    raise BenchError(str(reject))
