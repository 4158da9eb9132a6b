"""What a run has used so far, and what a model's response says that its call used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from .fields import whole

_INPUT = ("input_tokens", "prompt_tokens", "prompt_token_count")
_OUTPUT = ("output_tokens", "completion_tokens", "candidates_token_count")
_CACHED = ("cache_creation_input_tokens", "cache_read_input_tokens")
"""Anthropic counts tokens of its cache beside `input_tokens`, OpenAI and Gemini within theirs."""


class UsageReport(TypedDict):
    """A run's totals, as `stop` answers them."""

    tool_calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


class StopReport(TypedDict):
    """What `stop` answers."""

    status: str
    stop_reason: str
    usage: UsageReport


@dataclass(slots=True)
class Usage:
    """Totals of one run. Tokens and cost stay None until somebody names some."""

    tool_calls: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    tokens: int = 0
    """Read and written, together."""
    spent_usd: float = 0.0

    def add_model_call(self, input_tokens: int | None, output_tokens: int | None, cost_usd: float | None) -> None:
        if input_tokens is not None:
            self.input_tokens = (self.input_tokens or 0) + input_tokens
            self.tokens += input_tokens
        if output_tokens is not None:
            self.output_tokens = (self.output_tokens or 0) + output_tokens
            self.tokens += output_tokens
        if cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + cost_usd
            self.spent_usd += cost_usd

    def report(self) -> UsageReport:
        return {
            "tool_calls": self.tool_calls,
            "input_tokens": self.input_tokens or 0,
            "output_tokens": self.output_tokens or 0,
            "cost_usd": self.cost_usd or 0.0,
        }


def tokens_of(response: Any) -> tuple[int | None, int | None]:
    """Tokens read and written by the call that gave `response`: a client's object or the JSON's dict.

    Knows the shapes of OpenAI (chat and responses), Anthropic and Gemini; (None, None) for others.
    """
    usage = get(response, "usage")
    if usage is None:
        usage = get(response, "usage_metadata")
    if usage is None:
        return None, None
    read, written = _first(usage, _INPUT), _first(usage, _OUTPUT)
    if read is not None:
        read += sum(whole(get(usage, name)) or 0 for name in _CACHED)
    return read, written


def model_of(response: Any) -> str | None:
    """The model that a response names, if it names one."""
    model = get(response, "model")
    return model if isinstance(model, str) else None


def get(holder: Any, name: str) -> Any:
    """The item of a mapping or the attribute of an object; None where there is none."""
    if isinstance(holder, Mapping):
        return holder.get(name)
    return getattr(holder, name, None)


def _first(usage: Any, names: tuple[str, ...]) -> int | None:
    for name in names:
        number = whole(get(usage, name))
        if number is not None:
            return number
    return None
