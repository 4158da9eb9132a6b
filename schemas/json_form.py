"""Events as JSON: what a file, an HTTP body or `--format jsonl` holds, checked as it comes in.

The four usage fields nest under `usage`, null fields may be left out, and an event may carry `args` or
`result` in the place of their hashes: they are hashed here and dropped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from .canonical import canonical_json, sha
from .events import FIELDS, USAGE_FIELDS, AgentEvent, epoch_ms
from .ids import derived_id

MAX_NAME = 1_000
"""Longest text of a field, in characters; labels may be ten times as long."""
MAX_LABELS = 10 * MAX_NAME
MAX_LONG = 2**63 - 1
MAX_INT = 2**31 - 1
MAX_TS_MS = 253_402_300_799_999
"""The last millisecond of the year 9999, which is as far as most readers' timestamps go."""

_KINDS = ("run_start", "model_result", "tool_result", "stop", "other")
_STATUSES = ("none", "ok", "error")
_TEXTS = frozenset(
    {"parent_run_id", "agent_version", "model", "prompt_sha", "tools_sha", "step_id", "tool", "args_sha"}
    | {"result_sha", "error", "stop_reason"}
)


class NotAnEvent(ValueError):
    """What is wrong with a JSON value that should be an event, in a sentence that names the field."""


def parse_line(line: str | bytes, next_seq: Callable[[str], int]) -> AgentEvent:
    """The event on one line of a file. Raises `NotAnEvent`. See `from_json` for `next_seq`."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        what = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise NotAnEvent(f"not JSON ({what})") from None
    return from_json(value, next_seq)


def from_json(value: Any, next_seq: Callable[[str], int]) -> AgentEvent:
    """The event in a JSON value. Raises `NotAnEvent`.

    `next_seq` is asked for the event's place in its run where it has none of its own: run_id → 0, 1, 2 …
    An event without `event_id` gets one derived from its run and place, so that the same file read twice
    gives the same events.
    """
    if not isinstance(value, Mapping):
        raise NotAnEvent(f"an event is a JSON object, and this is {_json_type(value)}")
    usage = value.get("usage") or {}
    if not isinstance(usage, Mapping):
        raise NotAnEvent(f"`usage` is an object, and this is {_json_type(usage)}")
    fields = {name: value[name] for name in FIELDS if value.get(name) is not None}
    fields.update({name: usage[name] for name in USAGE_FIELDS if usage.get(name) is not None})
    for payload, digest in (("args", "args_sha"), ("result", "result_sha")):
        if digest not in fields and payload in value:
            fields[digest] = sha(value[payload])

    out: dict[str, Any] = {
        "run_id": _text(fields, "run_id"),
        "kind": _choice(fields, "kind", _KINDS),
        "ts_ms": _time(fields),
        "agent": _text(fields, "agent"),
        "status": _choice(fields, "status", _STATUSES, default="none"),
    }
    for name in _TEXTS & fields.keys():
        out[name] = _text(fields, name)
    for name in {"duration_ms", "input_tokens", "output_tokens", "tool_calls"} & fields.keys():
        out[name] = _whole(fields, name, MAX_LONG)
    for name in {"attempt", "http_status"} & fields.keys():
        out[name] = _whole(fields, name, MAX_INT)
    for name in {"outcome", "cost_usd"} & fields.keys():
        out[name] = _real(fields, name)
    if not 0.0 <= out.get("outcome", 0.0) <= 1.0:
        raise NotAnEvent(f"`outcome` is between 0 and 1, and this is {out['outcome']}")
    if "labels" in fields:
        out["labels"] = _labels(fields["labels"])
    out["seq"] = _whole(fields, "seq", MAX_LONG) if "seq" in fields else next_seq(out["run_id"])
    out["event_id"] = (
        _text(fields, "event_id") if "event_id" in fields else derived_id("event", out["run_id"], out["seq"])
    )
    return AgentEvent(**out)


class RunOrder:
    """Gives each event of a file its place in its run: 0, 1, 2 … per run id."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def __call__(self, run_id: str) -> int:
        place = self._next.get(run_id, 0)
        self._next[run_id] = place + 1
        return place


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    return {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}.get(type(value), "a number")


def _text(fields: Mapping[str, Any], name: str) -> str:
    if name not in fields:
        raise NotAnEvent(f"`{name}` is missing")
    value = fields[name]
    if not isinstance(value, str):
        raise NotAnEvent(f"`{name}` is a string, and this is {_json_type(value)}")
    if not value and name in {"run_id", "agent", "event_id"}:
        raise NotAnEvent(f"`{name}` is empty")
    if len(value) > MAX_NAME:
        raise NotAnEvent(f"`{name}` has {len(value):,} characters; {MAX_NAME:,} is the limit")
    _check_utf8(name, value)
    return value


def _choice(fields: Mapping[str, Any], name: str, choices: tuple[str, ...], default: str | None = None) -> str:
    if name not in fields:
        if default is not None:
            return default
        raise NotAnEvent(f"`{name}` is missing")
    if fields[name] not in choices:
        raise NotAnEvent(f"`{name}` is one of {', '.join(choices)}, and this is {_shown(fields[name])}")
    return str(fields[name])


def _whole(fields: Mapping[str, Any], name: str, most: int) -> int:
    value = fields[name]
    # JSON has one kind of number: 3.0 is a whole one.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise NotAnEvent(f"`{name}` is a whole number, and this is {_shown(fields[name])}")
    if not 0 <= value <= most:
        raise NotAnEvent(f"`{name}` is between 0 and {most}, and this is {value}"[:200])
    return value


def _real(fields: Mapping[str, Any], name: str) -> float:
    value = fields[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise NotAnEvent(f"`{name}` is a number, and this is {_shown(value)}")
    return float(value)


def _time(fields: Mapping[str, Any]) -> int:
    """Event time in milliseconds: a number of them, or an ISO 8601 text with its zone."""
    if "ts_ms" not in fields:
        raise NotAnEvent("`ts_ms` is missing")
    value = fields["ts_ms"]
    if isinstance(value, str):
        try:
            when = datetime.fromisoformat(value)
        except ValueError:
            raise NotAnEvent(f"`ts_ms` is milliseconds or an ISO 8601 time, and this is {value[:60]!r}") from None
        if when.tzinfo is None:
            raise NotAnEvent(f"`ts_ms` has no time zone: {value[:60]!r}; add Z or an offset")
        fields = {"ts_ms": epoch_ms(when)}
    return _whole(fields, "ts_ms", MAX_TS_MS)


def _labels(value: Any) -> str:
    """The user's labels as a JSON object's text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise NotAnEvent("`labels` is a JSON object, and this text is not JSON") from None
    if not isinstance(value, Mapping):
        raise NotAnEvent(f"`labels` is an object, and this is {_json_type(value)}")
    text = canonical_json(value)
    if len(text) > MAX_LABELS:
        raise NotAnEvent(f"`labels` has {len(text):,} characters; {MAX_LABELS:,} is the limit")
    _check_utf8("labels", text)
    # Python's reader and writer know NaN and Infinity; nobody else's do.
    json.loads(text, parse_constant=_refuse_constant)
    return text


def _refuse_constant(constant: str) -> None:
    raise NotAnEvent(f"`labels` holds {constant}, which JSON has no number for")


def _check_utf8(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotAnEvent(f"`{name}` holds half a surrogate pair, which has no UTF-8 form") from None


def _shown(value: Any) -> str:
    """The beginning of a wrong value, as it may be printed anywhere."""
    return canonical_json(value)[:60].encode("utf-8", "backslashreplace").decode()
