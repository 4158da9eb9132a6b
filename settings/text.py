"""Settings as one YAML text for people: each with a sentence above it. Reading it gives the same settings, but for
secrets, which are masked."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import yaml
from pydantic import SecretStr

from .section import Section
from .setting import Shape, held
from .yaml_marks import know_core

WIDTH = 100
_INDENT = "  "
_LONGEST_DEFAULT = 60
_VARIABLE = re.compile(r"\$\{\w+\}")


def text(section: Section) -> str:
    """The settings as YAML; one that is not at its default says what that is."""
    return "\n".join(_lines(section, type(section)(), 0)).lstrip("\n") + "\n"


def _lines(section: Section, defaults: Section, depth: int) -> Iterator[str]:
    plain, usual = _plain(section), _plain(defaults)
    for place, (name, field) in enumerate(type(section).model_fields.items()):
        value = getattr(section, name)
        inner = held(field)
        is_section = inner is not None and isinstance(value, Section)
        if is_section and place:
            yield ""
        yield from _comment(field.description or "", depth)
        if is_section:
            yield f"{_INDENT * depth}{name}:"
            # Where the default is that there is no such section, what differs within is told by the section's own.
            yield from _lines(value, getattr(defaults, name) or type(value)(), depth + 1)
            continue
        was = "" if plain[name] == usual[name] else _was(usual[name])
        if inner is not None and inner.shape is not Shape.ONE and value:
            yield f"{_INDENT * depth}{name}:{was}"
            yield from _entries(value, depth + 1)
        else:
            yield from _value(f"{_INDENT * depth}{name}: ", plain[name], was, depth)


def _value(before: str, value: Any, after: str, depth: int) -> Iterator[str]:
    """A setting; a list that is too long for a line goes on in the next ones."""
    line = f"{before}{_scalar(value)}"
    if len(line) <= WIDTH or not isinstance(value, list):
        yield line + after
        return
    line = before + "["
    for place, one in enumerate(_scalar(one, inner=True) for one in value):
        word = one + ("]" if place == len(value) - 1 else ",")
        if len(line) + 1 + len(word) > WIDTH:
            yield line
            line = _INDENT * (depth + 1) + word
        else:
            line += word if line.endswith("[") else f" {word}"
    yield line + after


def _entries(held: Any, depth: int) -> Iterator[str]:
    """A list or mapping of sections: of each what is set, without the sentences."""
    before = _INDENT * depth
    if isinstance(held, Mapping):
        for name, section in held.items():
            yield f"{before}{_scalar(str(name))}:"
            yield from (f"{before}{_INDENT}{line}" for line in _set(section) or ["{}"])
    else:
        for section in held:
            first, *rest = _set(section) or ["{}"]
            yield f"{before}- {first}"
            yield from (f"{before}  {line}" for line in rest)


def _set(section: Section) -> list[str]:
    values = _plain(section)
    return [
        f"{name}: {_scalar(values[name])}"
        for name, field in type(section).model_fields.items()
        if field.is_required() or getattr(section, name) != field.get_default(call_default_factory=True)
    ]


def _plain(section: Section) -> dict[str, Any]:
    """Its values as JSON has them; of secrets what names a variable alone, which is none."""
    return {name: _open(value, getattr(section, name)) for name, value in section.model_dump(mode="json").items()}


def _open(masked: Any, value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value() if _VARIABLE.fullmatch(value.get_secret_value()) else masked
    if isinstance(value, Mapping) and isinstance(masked, dict):
        return {name: _open(masked[name], one) for name, one in value.items()}
    return masked


def _was(usual: Any) -> str:
    shown = _scalar(usual)
    return f"  # default: {shown}" if len(shown) <= _LONGEST_DEFAULT else "  # not at its default"


def _comment(words: str, depth: int) -> Iterator[str]:
    before = f"{_INDENT * depth}# "
    yield from textwrap.wrap(
        words, WIDTH, initial_indent=before, subsequent_indent=before, break_long_words=False, break_on_hyphens=False
    )


def _scalar(value: Any, *, inner: bool = False) -> str:
    """A value on one line, as `yaml_marks` and YAML 1.1 both read it; `inner`: between brackets."""
    if isinstance(value, float):
        # Without an exponent: 1e-05 is a text in YAML 1.1.
        shown = format(Decimal(repr(value)), "f")
        return shown if "." in shown else shown + ".0"
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{_scalar(str(key), inner=True)}: {_scalar(one, inner=True)}" for key, one in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(_scalar(one, inner=True) for one in value) + "]"
    if isinstance(value, str) and not value.isprintable():
        return _dumped(value, default_style='"')
    if inner:
        return _dumped([value])[1:-1]
    # PyYAML ends a document that is a scalar alone with a line of dots.
    return _dumped(value).removesuffix("\n...").strip()


class _Dumper(yaml.SafeDumper):
    """Puts into quotes what either schema would take for no text."""


know_core(_Dumper)


def _dumped(value: Any, **style: Any) -> str:
    shown = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, width=2**31, allow_unicode=True, **style)
    return str(shown).removesuffix("\n")
