"""What window parts are to be, by plain Python: one event at a time, and nothing forgotten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from runwatch.processors.sketch import key_of
from runwatch.processors.windows import METRICS, SUMS
from runwatch.schemas.reasons import REFUSALS

IDENTITY = ("slot_ms", "window_start_ms", "agent", "agent_version", "model", "tool")
Identity = tuple[Any, ...]


def identity(part: dict[str, Any]) -> Identity:
    """What tells a part from the others of its partition."""
    return tuple(part[name] for name in IDENTITY)


class Tallied:
    """The content of one part."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = dict.fromkeys(SUMS, 0)
        self.sketches: dict[str, Counter[int]] = {name: Counter() for name in METRICS}
        self.reasons: Counter[str] = Counter()

    def add(self, event: dict[str, Any]) -> None:
        kind = event["kind"]
        if kind in ("tool_result", "model_result") and event["stop_reason"] in REFUSALS:
            kind = "refused"
        sums = self.sums
        sums["events"] += 1
        sums["runs_started"] += kind == "run_start"
        if event["outcome"] is not None:
            sums["outcome_sum"] += event["outcome"]
            sums["outcome_count"] += 1
        if kind == "stop":
            sums["runs_stopped"] += 1
            sums["successes"] += event["stop_reason"] == "success"
            self.reasons[event["stop_reason"] or "unknown"] += 1
            for name, field in (("tool_calls", "tool_calls"), ("ms", "duration_ms"), ("cost_usd", "cost_usd")):
                sums[f"run_{name}_sum"] += event[field] or 0
                self.note(f"run_{name}", event[field])
        if kind == "model_result":
            sums["model_calls"] += 1
            for name in ("input_tokens", "output_tokens", "cost_usd"):
                sums[name] += event[name] or 0
            tokens = [event[name] for name in ("input_tokens", "output_tokens") if event[name] is not None]
            self.note("request_tokens", sum(tokens) if tokens else None)
        if kind == "tool_result":
            sums["tool_calls"] += 1
            sums["tool_errors"] += event["status"] == "error"
            sums["retries"] += (event["attempt"] or 1) > 1
            sums["rate_limited"] += event["http_status"] in (429, *range(500, 600))
            self.note("call_ms", event["duration_ms"])

    def note(self, metric: str, value: float | None) -> None:
        if value is not None and (key := key_of(value)) is not None:
            self.sketches[metric][key] += 1


def expected_parts(
    events: Iterable[tuple[int, dict[str, Any]]], window_ms: int, stretch_ms: int
) -> dict[Identity, Any]:
    """The content of each part of these (log time, event); an agent's own counts every event, a tool's its own."""
    parts: dict[Identity, Tallied] = {}
    for log_ms, event in events:
        slot, start = (at // size * size for at, size in ((log_ms, stretch_ms), (event["ts_ms"], window_ms)))
        for tool in {None, event["tool"]}:
            key = (slot, start, event["agent"], event["agent_version"], event["model"], tool)
            parts.setdefault(key, Tallied()).add(event)
    return {key: (one.sums, one.sketches, one.reasons) for key, one in parts.items()}


def content(part: dict[str, Any]) -> Any:
    """A part's content, to be compared with the model's."""
    return (
        {name: part[name] for name in SUMS},
        {name: Counter(dict(zip(part[f"{name}_keys"], part[f"{name}_counts"], strict=True))) for name in METRICS},
        Counter(dict(zip(part["stop_reasons"], part["stop_reason_counts"], strict=True))),
    )


class Latest:
    """What a reader of the window topic is left with: of each part the one with the highest version."""

    def __init__(self) -> None:
        self.parts: dict[Identity, dict[str, Any]] = {}

    def take(self, parts: Iterable[dict[str, Any]]) -> None:
        for part in parts:
            known = self.parts.get(identity(part))
            if known is None or known["version"] <= part["version"]:
                self.parts[identity(part)] = part

    @property
    def contents(self) -> dict[Identity, Any]:
        return {key: content(part) for key, part in self.parts.items()}
