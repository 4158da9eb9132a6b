"""Rules as one YAML text for people: every setting with a sentence above it. Reading it gives the same rules."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import yaml

from .rules import Rules
from .section import Section

WIDTH = 100
_INDENT = "  "


def text(rules: Rules) -> str:
    """The rules as YAML; a setting that is not at its default says what that is."""
    return "\n".join(_lines(rules, type(rules)(), 0)).lstrip("\n") + "\n"


def _lines(section: Section, defaults: Section, depth: int) -> Iterator[str]:
    plain, usual = section.model_dump(mode="json"), defaults.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        is_section = isinstance(value, Section)
        if is_section:
            yield ""
        yield from _comment(field.description or "", depth)
        if is_section:
            yield f"{_INDENT * depth}{name}:"
            yield from _lines(value, getattr(defaults, name), depth + 1)
        else:
            was = "" if plain[name] == usual[name] else f"  # default: {_scalar(usual[name])}"
            yield f"{_INDENT * depth}{name}: {_scalar(plain[name])}{was}"


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
