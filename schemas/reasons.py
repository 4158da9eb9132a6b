"""Why runs stop: the reasons runwatch knows. A user's own reasons are kept as they are."""

from __future__ import annotations

from typing import Final

SUCCESS: Final = "success"
MAX_STEPS: Final = "max_steps"
MAX_TOOL_CALLS: Final = "max_tool_calls"
MAX_SECONDS: Final = "max_seconds"
MAX_TOKENS: Final = "max_tokens"
MAX_COST: Final = "max_cost"
LOOP_DETECTED: Final = "loop_detected"
TOOL_TIMEOUT: Final = "tool_timeout"
TOOL_ERROR: Final = "tool_error"
MODEL_ERROR: Final = "model_error"
RATE_LIMITED: Final = "rate_limited"
DENIED: Final = "denied"
APPROVAL_REQUIRED: Final = "approval_required"
KILLED: Final = "killed"
CANCELLED: Final = "cancelled"
HANDOFF: Final = "handoff"
UNKNOWN: Final = "unknown"
EVENTS_DROPPED: Final = "events_dropped"
"""No run's end: an agent tells that events of its own were lost. See docs/sdk.md, "When the broker is away"."""

KNOWN: Final = frozenset(
    {
        SUCCESS,
        MAX_STEPS,
        MAX_TOOL_CALLS,
        MAX_SECONDS,
        MAX_TOKENS,
        MAX_COST,
        LOOP_DETECTED,
        TOOL_TIMEOUT,
        TOOL_ERROR,
        MODEL_ERROR,
        RATE_LIMITED,
        DENIED,
        APPROVAL_REQUIRED,
        KILLED,
        CANCELLED,
        HANDOFF,
        UNKNOWN,
        EVENTS_DROPPED,
    }
)

REFUSALS: Final = frozenset(
    {
        MAX_STEPS,
        MAX_TOOL_CALLS,
        MAX_SECONDS,
        MAX_TOKENS,
        MAX_COST,
        LOOP_DETECTED,
        DENIED,
        APPROVAL_REQUIRED,
        KILLED,
    }
)
"""Why the guard refuses a call. A call's event (not a `stop`) that has one of these as its `stop_reason` tells of a
call that was not made: it says nothing of how well the tool works."""

RETRYABLE_STATUS: Final = 429
"""HTTP "too many requests"; with every 5xx it is what retries are for."""


def of_exception(error: BaseException) -> str:
    """The stop reason of a run that `error` ended.

    An exception may name its own by an attribute `stop_reason`.
    """
    own = getattr(error, "stop_reason", None)
    if isinstance(own, str) and own:
        return own
    name = type(error).__name__
    if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit) or "Cancel" in name:
        return CANCELLED
    if isinstance(error, TimeoutError) or "Timeout" in name:
        return TOOL_TIMEOUT
    if "RateLimit" in name or http_status(error) == RETRYABLE_STATUS:
        return RATE_LIMITED
    return TOOL_ERROR


def http_status(error: BaseException) -> int | None:
    """The HTTP status that an exception of a web client carries, if it carries one."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "status", "code"):
            value = getattr(holder, name, None)
            if isinstance(value, int) and 100 <= value < 600:
                return value
    return None
