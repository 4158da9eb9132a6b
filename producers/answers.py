"""What a tool's result says about its call, where it is a web client's response."""

from __future__ import annotations

from typing import Any

HTTP_ERROR = "HTTPError"
"""The error class of a call that returned a response of 400 or above instead of raising."""

_PLAIN = frozenset({str, int, float, bool, list, tuple, bytes, type(None)})


def status_of(result: Any) -> int | None:
    """The HTTP status of a result: its `status_code` (requests, httpx, or a dict's), or aiohttp's `status`."""
    kind = type(result)
    if kind in _PLAIN:
        return None
    if kind is dict:
        status = result.get("status_code")
    else:
        status = _own(result, "status_code")
        if status is None and hasattr(kind, "raise_for_status"):
            status = _own(result, "status")
    return status if isinstance(status, int) and 100 <= status < 600 else None


def payload_of(result: Any) -> Any:
    """What is hashed of a result: itself, or the status and body where it is a response whose body was read.

    A response's `repr` is the same for every body. Only what the client keeps already is looked at: to ask
    for the body could read the network, or use up a stream that the agent wants to read.
    """
    if type(result) in _PLAIN or not hasattr(type(result), "raise_for_status"):
        return result
    held = getattr(result, "__dict__", {})
    body = held.get("_content", held.get("_body"))  # requests and httpx; aiohttp
    return [status_of(result), body] if isinstance(body, bytes) else result


def _own(result: Any, name: str) -> Any:
    """An attribute that is there already: stand-ins for remote objects answer to any name, with a call."""
    if name in getattr(result, "__dict__", ()) or hasattr(type(result), name):
        return getattr(result, name)
    return None
