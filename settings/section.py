"""What every section of a settings file is built from: frozen, checked, and with a sentence on each setting."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")


LONGEST_MS = 3_660 * 86_400_000
"""Ten years: longer ones are slips of the finger."""


class WrongAt(ValueError):
    """For a section's own checks: what is wrong, and the path from the file's root to where it stands."""

    def __init__(self, path: tuple[str | int, ...], what: str) -> None:
        super().__init__(what)
        self.path = path


class Section(BaseModel):
    """A part of a settings file. Each field has a default that is safe, and a description that is printed beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


def parse_duration(value: object) -> object:
    """Milliseconds of `90s`, `10m`, `1.5h`, `7d`; what is no such text is handed on as it is. Raises `ValueError`."""
    if not isinstance(value, str):
        return value
    found = _DURATION.fullmatch(value)
    if found is None:
        raise ValueError(f"a duration is a number and one of {', '.join(_UNITS)}, such as 10m; this is {value!r}")
    ms = float(found[1]) * _UNITS[found[2]]
    if ms > LONGEST_MS:
        raise ValueError(f"{value!r} is longer than {shown_duration(LONGEST_MS)}, the longest of durations")
    return round(ms)


def shown_duration(ms: int) -> str:
    """A duration in the largest unit that holds it whole: 600000 → `10m`."""
    if ms == 0:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        if ms % _UNITS[unit] == 0:
            return f"{ms // _UNITS[unit]}{unit}"
    return f"{ms}ms"


Duration = Annotated[int, BeforeValidator(parse_duration), PlainSerializer(shown_duration, return_type=str)]
"""A length of time: milliseconds within, `10m` where people write it."""


def parse_seconds(value: object) -> object:
    """Seconds of a text as `parse_duration` takes it; any number is handed on as it is. Raises `ValueError`."""
    ms = parse_duration(value)
    return ms / 1000 if isinstance(value, str) and isinstance(ms, int) else value


def shown_seconds(seconds: float) -> str:
    """Seconds as a duration, to the millisecond."""
    return shown_duration(round(seconds * 1000))


Seconds = Annotated[float, BeforeValidator(parse_seconds), PlainSerializer(shown_seconds, return_type=str)]
"""A length of time whose setting's own name says that a bare number is in seconds."""
