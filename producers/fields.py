"""Whatever a caller hands over, made to fit an event's field, or left out: the SDK never raises for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..schemas.canonical import canonical_json, sha
from ..schemas.json_form import MAX_INT, MAX_LABELS, MAX_LONG, MAX_NAME


def text(value: Any) -> str | None:
    """`value` as a field's text: at most `MAX_NAME` characters, valid UTF-8; None stays None."""
    if value is None:
        return None
    try:
        short = (value if isinstance(value, str) else str(value))[:MAX_NAME]
    except Exception:  # a caller's own __str__ may do anything
        return type(value).__name__
    # Half a surrogate pair has no UTF-8 form.
    return short if short.isascii() else short.encode("utf-8", "replace").decode()


def whole(value: Any, most: int = MAX_LONG) -> int | None:
    """`value` as a whole number from 0 to `most`; None where it is none."""
    if value is None:
        return None
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number <= most else None


def small(value: Any) -> int | None:
    """`value` as a whole number of 32 bits from 0; None where it is none."""
    return whole(value, MAX_INT)


def real(value: Any) -> float | None:
    """`value` as a finite number; None where it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def judged(value: Any) -> float | None:
    """An outcome between 0 and 1; None where `value` is none."""
    number = real(value)
    return number if number is not None and 0.0 <= number <= 1.0 else None


def hashed(value: Any) -> str | None:
    """The hash of a payload; None where the payload's own methods raise."""
    try:
        return sha(value)
    except Exception:  # repr, model_dump and the like are the caller's code
        return None


def labels(*layers: Any) -> str | None:
    """The labels of all `layers` (mappings or None; later ones win) as a JSON object's text, or None."""
    merged: dict[str, Any] = {}
    for layer in layers:
        if isinstance(layer, Mapping):
            merged.update({str(name): value for name, value in layer.items()})
    if not merged:
        return None
    try:
        out = canonical_json(merged)
    except Exception:  # repr and the like are the caller's code
        return None
    return out.encode("utf-8", "replace").decode() if len(out) <= MAX_LABELS else None
