"""Rules as one YAML text for people: every setting with a sentence above it. Reading it gives the same rules."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import yaml
from pydantic import BaseModel

from .rules import Rules
from .settings import fields_of

WIDTH = 100
_INDENT = "  "


def text(rules: Rules) -> str:
    """The rules as YAML; a setting that is not at its default says what that is."""
    return "\n".join(_lines(rules, 0)).lstrip("\n") + "\n"


def _lines(section: Any, depth: int) -> Iterator[str]:
    plain = _plain(section)
    for name, field in fields_of(type(section)).items():
        value = getattr(section, name)
        if depth == 0:
            yield ""
        yield from _comment(field.description or "", depth)
        if isinstance(value, BaseModel) or dataclasses.is_dataclass(value):
            yield f"{_INDENT * depth}{name}:"
            yield from _lines(value, depth + 1)
            continue
        default = field.get_default(call_default_factory=True)
        was = "" if value == default else f"  # default: {_scalar(_plain_default(section, name, default))}"
        yield f"{_INDENT * depth}{name}: {_scalar(plain[name])}{was}"


def _plain_default(section: Any, name: str, default: Any) -> Any:
    return default if dataclasses.is_dataclass(section) else _plain(section.model_copy(update={name: default}))[name]


def _plain(section: Any) -> dict[str, Any]:
    return dataclasses.asdict(section) if dataclasses.is_dataclass(section) else section.model_dump(mode="json")


def _comment(words: str, depth: int) -> Iterator[str]:
    before = f"{_INDENT * depth}# "
    yield from textwrap.wrap(
        words, WIDTH, initial_indent=before, subsequent_indent=before, break_long_words=False, break_on_hyphens=False
    )


def _scalar(value: Any) -> str:
    """A value on one line, as `yaml_marks` and YAML 1.1 both read it."""
    if isinstance(value, float):
        # Without an exponent: 1e-05 is a text in YAML 1.1.
        shown = format(Decimal(repr(value)), "f")
        return shown if "." in shown else shown + ".0"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(str(key))}: {_scalar(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    # PyYAML ends a document that is a scalar alone with a line of dots.
    shown = str(yaml.safe_dump(value, default_flow_style=True, width=2**31, allow_unicode=True))
    return shown.removesuffix("\n").removesuffix("\n...").strip()
