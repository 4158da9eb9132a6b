"""Why runs stop, and the reason an exception stands for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runwatch.schemas import reasons


def test_the_reasons_are_the_designs() -> None:
    assert {
        "success", "max_steps", "max_tool_calls", "max_seconds", "max_tokens", "max_cost", "loop_detected",
        "tool_timeout", "tool_error", "model_error", "rate_limited", "denied", "approval_required", "killed",
        "cancelled", "handoff", "unknown", "events_dropped",
    } == reasons.KNOWN  # fmt: skip


def test_refusals_are_reasons() -> None:
    assert set() == reasons.REFUSALS - reasons.KNOWN
    assert "tool_error" not in reasons.REFUSALS


def named(name: str, **attributes: Any) -> BaseException:
    return type(name, (Exception,), attributes)("no")  # type: ignore[no-any-return]


class Response:
    status_code = 503


@pytest.mark.parametrize(
    ("error", "reason", "http_status"),
    [
        (ValueError("x"), "tool_error", None),
        (TimeoutError(), "tool_timeout", None),
        (named("ReadTimeout"), "tool_timeout", None),
        (KeyboardInterrupt(), "cancelled", None),
        (SystemExit(1), "cancelled", None),
        (GeneratorExit(), "cancelled", None),
        (asyncio.CancelledError(), "cancelled", None),
        (named("RateLimitError"), "rate_limited", None),
        (named("HTTPError", status=429), "rate_limited", 429),
        (named("HTTPError", code=500), "tool_error", 500),
        (named("HTTPStatusError", response=Response()), "tool_error", 503),
        (named("Odd", code="E42"), "tool_error", None),
        (named("Odd", code=42), "tool_error", None),
        (named("RunStopped", stop_reason="max_cost"), "max_cost", None),
        (named("Mine", stop_reason="our_own_rule"), "our_own_rule", None),
        (named("Mine", stop_reason=""), "tool_error", None),
        (named("Mine", stop_reason=3), "tool_error", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_what_an_exception_stands_for(error: BaseException, reason: str, http_status: int | None) -> None:
    assert reason == reasons.of_exception(error)
    assert http_status == reasons.http_status(error)
