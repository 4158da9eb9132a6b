"""Every setting of the rules by its name, such as `loops.repeat`: what it must be, in words, and which is nearest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from .rules import Rules
from .section import Section, parse_duration, shown_duration

_NOUNS: Mapping[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of the rules."""

    path: tuple[str, ...]
    field: FieldInfo

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def is_duration(self) -> bool:
        """Whether it is a length of time, which people give with its unit."""
        return any(isinstance(one, BeforeValidator) and one.func is parse_duration for one in self.field.metadata)

    @property
    def may_be_empty(self) -> bool:
        return type(None) in get_args(self.field.annotation)

    @property
    def default(self) -> Any:
        return self.field.get_default(call_default_factory=True)

    @property
    def wanted(self) -> str:
        """What it must be, in words; empty where there are none but pydantic's."""
        annotation = self.field.annotation
        options = [one for one in get_args(annotation) if one is not type(None)]
        if get_origin(annotation) is Literal:
            return f"one of {', '.join(map(str, options))}{self._usual}"
        if self.is_duration:
            within = self._range(lambda ms: shown_duration(int(ms)))
            return f"a duration{within}, such as 90s, 10m or 1.5h{self._usual}"
        kind = options[0] if len(options) == 1 and get_origin(annotation) not in (list, tuple, set) else annotation
        if kind not in _NOUNS:
            return ""
        return f"{_NOUNS[kind]}{self._range(shown) if kind in (int, float) else ''}{self._usual}"

    @property
    def _usual(self) -> str:
        default = self.default
        if default is None or isinstance(default, list | tuple | dict):
            return ""
        return f" (the default is {shown_duration(default) if self.is_duration else shown(default)})"

    def _range(self, show: Callable[[Any], str]) -> str:
        least = most = above = below = None
        for one in self.field.metadata:
            match one:
                case Ge(ge):
                    least = show(ge)
                case Le(le):
                    most = show(le)
                case Gt(gt):
                    above = show(gt)
                case Lt(lt):
                    below = show(lt)
        if least and most:
            return f" from {least} to {most}"
        words = [
            f"{how} {bound}"
            for how, bound in (("of at least", least), ("above", above), ("of at most", most), ("below", below))
            if bound
        ]
        return " " + " and ".join(words) if words else ""


def fields_of(section: type[Section]) -> Mapping[str, FieldInfo]:
    """A section's settings and sections, by name."""
    return section.model_fields


def sections(section: type[Section]) -> Mapping[str, type[Section]]:
    """Those of its fields that are sections of their own."""
    return {
        name: one.annotation
        for name, one in fields_of(section).items()
        if isinstance(one.annotation, type) and issubclass(one.annotation, Section)
    }


def settings(section: type[Section] = Rules, path: tuple[str, ...] = ()) -> Iterator[Setting]:
    """Every setting, in the order in which they are printed."""
    inner = sections(section)
    for name, one in fields_of(section).items():
        if name in inner:
            yield from settings(inner[name], (*path, name))
        else:
            yield Setting((*path, name), one)


def differing(rules: Rules) -> list[str]:
    """Names of the settings that are not at their defaults."""
    defaults = Rules()
    return [one.name for one in settings() if value_of(rules, one.path) != value_of(defaults, one.path)]


def value_of(rules: Rules, path: Sequence[str]) -> Any:
    """A setting's value."""
    value: Any = rules
    for name in path:
        value = getattr(value, name)
    return value


def nearest(path: Sequence[str], section: type[Section]) -> str:
    """What may have been meant by a key that the section does not have."""
    *outer, key = path
    here = list(fields_of(section))
    if near := get_close_matches(key, here, 1, 0.6):
        return f"did you mean {'.'.join([*outer, near[0]])}?"
    # One of that name elsewhere, or else anything like it; sections first, then what comes first.
    everywhere: dict[str, str] = {}
    for name in (*_section_names(Rules), *(one.name for one in settings())):
        everywhere.setdefault(name.rpartition(".")[2], name)
    near = [key] if key in everywhere else get_close_matches(key, everywhere, 1, 0.75)
    if near:
        return f"did you mean {everywhere[near[0]]}?"
    return f"{'.'.join(outer) or 'the file'} has {', '.join(here)}"


def _section_names(section: type[Section], path: tuple[str, ...] = ()) -> Iterator[str]:
    for name, one in sections(section).items():
        yield ".".join((*path, name))
        yield from _section_names(one, (*path, name))


def shown(value: Any) -> str:
    """A value of a file, as people are told of it."""
    if isinstance(value, dict | list):
        return "a section" if isinstance(value, dict) else "a list"
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    return f"{value:g}" if isinstance(value, float) else str(value)
