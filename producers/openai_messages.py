"""Chat transcripts in OpenAI's form as events: what a model asked of tools, and what came back.

A conversation is an object with `messages`, and may have `id` (the run's), `agent`, `model`, `tools`,
`reward` or `outcome` (0 to 1) and `stop_reason`; or it is a bare list of messages. Each assistant message
becomes a `model_result`, each tool call a `tool_result` where its answer stands, and run start and stop
stand around them. Anthropic's and other forms are not read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ..schemas import reasons
from ..schemas.canonical import sha
from ..schemas.events import AgentEvent, epoch_ms
from ..schemas.json_form import NotAnEvent, RunOrder, from_json

BASE_MS = 1_760_000_000_000
"""Where no times are given, the first conversation of a file begins here (9 October 2025)."""
STEP_MS = 2_000
"""Between two steps without times."""
APART_MS = 60_000
"""Between the beginnings of two conversations without times."""

_ERROR = re.compile(
    # "Error: no seats", "error - no such user", "Error executing tool"; "ValueError: bad date";
    # but neither "Errors found: 0" nor "No error".
    r"\s*(?:(?i:error|exception)(?=\s*[:\-]|\s+(?:executing|calling|running|in)\b)"
    r"|Traceback \(most recent call last\)"
    r"|(?P<name>[\w.]*(?:Error|Exception))\s*[:(])"
)
_Call = tuple[str, dict[str, Any]]
"""A tool call that waits for its answer: its id, and its event's fields."""
_SECONDS_END = 100_000_000_000
"""A time below this is in seconds (up to the year 5138), above it in milliseconds (from 1973)."""


def events_of(conversation: Any, place: int, agent: str, base_ms: int = BASE_MS) -> list[AgentEvent]:
    """The events of one conversation, the `place`-th of its file. Raises `NotAnEvent`.

    The same conversation gives the same events each time. `agent` is taken where it names none.
    """
    if isinstance(conversation, list):
        conversation = {"messages": conversation}
    if not isinstance(conversation, Mapping) or not isinstance(conversation.get("messages"), list):
        raise NotAnEvent("a conversation is an object with a list of `messages`, or that list")
    order = RunOrder()
    run_id = conversation.get("id")
    shared = {
        "run_id": f"conversation-{sha(conversation)}" if run_id is None else str(run_id),
        "agent": conversation.get("agent") or agent,
        "model": conversation.get("model"),
        "prompt_sha": _prompt_sha(conversation["messages"]),
        "tools_sha": sha(conversation["tools"]) if conversation.get("tools") else None,
    }
    return [from_json({**shared, **step}, order) for step in _steps(conversation, base_ms + place * APART_MS)]


def _steps(conversation: Mapping[str, Any], began_ms: int) -> Iterator[dict[str, Any]]:
    """What is particular to each event, in order."""
    now_ms = _time(conversation) or began_ms
    first_ms = now_ms
    yield {"kind": "run_start", "ts_ms": now_ms}
    open_calls: list[_Call] = []
    tool_calls = 0
    totals = {"input_tokens": 0, "output_tokens": 0}
    has_tokens = False
    for number, message in enumerate(conversation["messages"]):
        if not isinstance(message, Mapping):
            raise NotAnEvent(f"message {number} is no object")
        role = message.get("role")
        if role not in ("assistant", "tool", "function"):
            now_ms = _time(message) or now_ms
            continue
        now_ms = _time(message) or now_ms + STEP_MS
        if role == "assistant":
            # What the model asks next, it asks knowing the answers: those still missing will not come.
            for _, call in open_calls:
                tool_calls += 1
                yield {**call, "ts_ms": now_ms}
            usage = _tokens(message)
            has_tokens = has_tokens or bool(usage)
            for name in usage:
                totals[name] += usage[name]
            yield {"kind": "model_result", "ts_ms": now_ms, "step_id": f"m{number}", "status": "ok", "usage": usage}
            open_calls = _calls(message, number)
        else:
            tool_calls += 1
            yield {**_answered(message, open_calls, number), "ts_ms": now_ms}
    for _, call in open_calls:
        tool_calls += 1
        yield {**call, "ts_ms": now_ms}
    outcome = _outcome(conversation)
    yield {
        "kind": "stop",
        "ts_ms": now_ms,
        "duration_ms": max(0, now_ms - first_ms),
        # Only a good outcome tells why a conversation ended.
        "stop_reason": conversation.get("stop_reason") or (reasons.SUCCESS if outcome == 1.0 else reasons.UNKNOWN),
        "outcome": outcome,
        "usage": {"tool_calls": tool_calls, **(totals if has_tokens else {})},
    }


def _calls(message: Mapping[str, Any], number: int) -> list[_Call]:
    """The tool calls that an assistant message asks for, as they are without an answer."""
    asked = message.get("tool_calls") or []
    if message.get("function_call"):  # OpenAI's form before there were ids
        asked = [{"id": "", "function": message["function_call"]}]
    out = []
    if not isinstance(asked, Sequence):
        raise NotAnEvent(f"`tool_calls` of message {number} is no list")
    for place, call in enumerate(asked):
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise NotAnEvent(f"tool call {place} of message {number} has no `function` with a `name`")
        call_id = call.get("id")
        call_id = call_id if isinstance(call_id, str) else ""
        step = {
            "kind": "tool_result",
            "step_id": call_id or f"m{number}.{place}",
            "tool": function["name"],
            "args": _arguments(function.get("arguments")),
        }
        out.append((call_id, step))
    return out


def _answered(message: Mapping[str, Any], open_calls: list[_Call], number: int) -> dict[str, Any]:
    """The tool call that a tool's message answers; without a call to match, what the message itself says."""
    call_id = message.get("tool_call_id") or ""
    # Some models give one id to several calls: then the answers stand in the calls' order.
    place = next((place for place, (asked, _) in enumerate(open_calls) if asked == call_id), None)
    if place is None:
        call = {"kind": "tool_result", "step_id": f"m{number}", "tool": message.get("name") or "unknown"}
    else:
        _, call = open_calls.pop(place)
    content = message.get("content")
    error, http_status = _failure(message, content)
    return {
        **call,
        "result": content,
        "status": "error" if error else "ok",
        "error": error,
        "http_status": http_status,
    }


def _failure(message: Mapping[str, Any], content: Any) -> tuple[str | None, int | None]:
    """The error class that a tool's answer tells of, if it does, and an HTTP status, if it names one.

    Taken for an error: a message marked so (`is_error`, or `status` is `error`); text that begins with
    "Error:", "SomeError:" or a traceback; and a JSON object that is marked so or has something in `error`.
    An empty or strange answer is none, and neither is `{"success": false}`, which many tools answer well.
    """
    if isinstance(content, list):  # parts of text
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    text = content if isinstance(content, str) else ""
    body: Any = None
    if text.lstrip()[:1] == "{":
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = None
    http_status = None
    if isinstance(body, Mapping):
        code = body.get("status_code")
        http_status = code if isinstance(code, int) and not isinstance(code, bool) and 100 <= code < 600 else None
        if body.get("error") or _is_marked(body) or (http_status or 0) >= 400:
            named = body.get("error_type")
            return named if isinstance(named, str) and named else "ToolError", http_status
    found = _ERROR.match(text)
    if found:
        return found["name"] or "ToolError", http_status
    return ("ToolError" if _is_marked(message) else None), http_status


def _is_marked(value: Mapping[str, Any]) -> bool:
    return value.get("is_error") is True or value.get("isError") is True or value.get("status") == "error"


def _arguments(text: Any) -> Any:
    """Arguments as values, so that the order of their keys does not count; as text where they are no JSON."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _prompt_sha(messages: list[Any]) -> str | None:
    for message in messages:
        if isinstance(message, Mapping) and message.get("role") in ("system", "developer"):
            return sha(message.get("content"))
    return None


def _tokens(message: Mapping[str, Any]) -> dict[str, int]:
    """The tokens of one model call, where the message has a `usage`."""
    usage = message.get("usage")
    if not isinstance(usage, Mapping):
        return {}
    out = {}
    for name, others in (
        ("input_tokens", ("prompt_tokens", "input_tokens")),
        ("output_tokens", ("completion_tokens", "output_tokens")),
    ):
        for other in others:
            value = usage.get(other)
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                out[name] = value
                break
    return out


def _outcome(conversation: Mapping[str, Any]) -> float | None:
    for name in ("outcome", "reward", "score"):
        value = conversation.get(name)
        if isinstance(value, int | float) and 0 <= value <= 1:
            return float(value)
    return None


def _time(holder: Mapping[str, Any]) -> int | None:
    """When it was, in milliseconds, if it says so in a way that can be read."""
    for name in ("ts_ms", "timestamp", "created_at", "created"):
        value = holder.get(name)
        if isinstance(value, str):
            try:
                when = datetime.fromisoformat(value)
            except ValueError:
                continue
            return epoch_ms(when if when.tzinfo else when.replace(tzinfo=UTC))
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0:
            return int(value * 1000 if value < _SECONDS_END else value)
    return None
