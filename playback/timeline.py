"""A run's timeline: its steps in order, when each ended, and what is to be noticed."""

from __future__ import annotations

from typing import Any

from ..schemas.events import AgentEvent
from .record import ALREADY_DONE, Record, is_refusal

Row = dict[str, Any]


def timeline(record: Record) -> list[Row]:
    """A row a step, in the order of `seq`: `t_s` is seconds since the run's first event ended.

    `args` and `result` are contents where they are known; the hashes are there in any case. `again` is the `seq` of
    the first call of the same tool with the same arguments. `note` says what is to be noticed, in words.
    """
    began = min((event.ts_ms for event in record.events), default=0)
    first: dict[tuple[str | None, str], int] = {}
    rows: list[Row] = []
    expected = 0
    for event in record.events:
        again = None
        if event.kind == "tool_result" and event.args_sha:
            known = first.setdefault((event.tool, event.args_sha), event.seq)
            again = None if known == event.seq else known
        row: Row = {
            "t_s": round((event.ts_ms - began) / 1000, 3),
            "seq": event.seq,
            "kind": event.kind,
            "step_id": event.step_id,
            "tool": event.tool,
            "model": event.model if event.kind in ("run_start", "model_result") else None,
            "args_sha": event.args_sha,
            "result_sha": event.result_sha,
            "status": None if event.status == "none" else event.status,
            "error": event.error,
            "http_status": event.http_status,
            "duration_ms": event.duration_ms,
            "attempt": event.attempt,
            "again": again,
            "stop_reason": event.stop_reason,
            "note": "; ".join(_notes(event, again, event.seq - expected)) or None,
        }
        for name, digest in (("args", event.args_sha), ("result", event.result_sha)):
            if (content := record.content(digest)) is not None:
                row[name] = content.value
                row[f"{name}_redacted"] = sum(content.redacted.values())
                row[f"{name}_truncated"] = content.truncated
        rows.append(row)
        expected = event.seq + 1
    return rows


def _notes(event: AgentEvent, again: int | None, lost: int) -> list[str]:
    notes = []
    if lost > 0:
        notes.append(f"{lost} before it never arrived")
    if is_refusal(event):
        notes.append("answered from memory" if event.error == ALREADY_DONE else f"refused: {event.stop_reason}")
    elif again is not None:
        notes.append(f"again, as {again}")
    if event.kind == "stop":
        notes.append(f"stopped: {event.stop_reason}")
    return notes


def ending(record: Record) -> str:
    """Why the run ended, in a sentence."""
    stop = next((event for event in record.events if event.kind == "stop"), None)
    if stop is None:
        return "It has not stopped, as far as is recorded."
    used = [
        f"{value:.6g} {name}"
        for name, value in (
            ("tool calls", stop.tool_calls),
            ("input tokens", stop.input_tokens),
            ("output tokens", stop.output_tokens),
            ("USD", stop.cost_usd),
        )
        if value is not None
    ]
    seconds = "" if stop.duration_ms is None else f" after {stop.duration_ms / 1000:.1f} s"
    return f"It stopped{seconds}: {stop.stop_reason}." + (f" Used: {', '.join(used)}." if used else "")
