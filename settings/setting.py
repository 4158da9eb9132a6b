"""Every setting of a section by its name, such as `loops.repeat`: what it must be, in words, and which is nearest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BeforeValidator, SecretStr
from pydantic.fields import FieldInfo

from .section import Section, parse_duration, parse_seconds, shown_duration, shown_seconds
from .yaml_marks import Path, named

_NOUNS: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    SecretStr: "text",
}
_PLURALS: Mapping[Any, str] = {int: "whole numbers", float: "numbers", str: "texts"}


class Shape(Enum):
    """How a field holds sections."""

    ONE = "a section"
    MANY = "a list"
    """A list of sections."""
    BY_NAME = "a section of sections"
    """Names, each with a section."""


@dataclass(frozen=True, slots=True)
class Held:
    """The sections that a field holds."""

    shape: Shape
    section: type[Section]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, and where it belongs."""

    path: Path
    field: FieldInfo

    @property
    def name(self) -> str:
        return named(self.path)

    @property
    def kind(self) -> Any:
        """The type of its value, where it has one."""
        return _unwrapped(self.field.annotation)[0]

    @property
    def is_duration(self) -> bool:
        """Whether it is a length of time, which people give with its unit."""
        return self._is_read_by(parse_duration)

    @property
    def is_seconds(self) -> bool:
        """Whether it is a length of time, which may be a bare number of seconds."""
        return self._is_read_by(parse_seconds)

    @property
    def is_secret(self) -> bool:
        """Whether its value is never to be shown."""
        return self.kind is SecretStr or SecretStr in get_args(self.kind)

    @property
    def may_be_empty(self) -> bool:
        return may_be_empty(self.field)

    @property
    def default(self) -> Any:
        """Its default; None where it has none."""
        return None if self.field.is_required() else self.field.get_default(call_default_factory=True)

    @property
    def wanted(self) -> str:
        """What it must be, in words; empty where there are none but pydantic's."""
        kind = self.kind
        if get_origin(kind) is Literal:
            return f"one of {', '.join(map(str, get_args(kind)))}{self._usual}"
        if self.is_duration or self.is_seconds:
            within = self._range()
            bare = ", or a number of seconds" if self.is_seconds else ""
            return f"a duration{within}, such as 90s, 10m or 1.5h{bare}{self._usual}"
        if get_origin(kind) in (list, tuple):
            element = _unwrapped(get_args(kind)[0])[0]
            if get_origin(element) is Literal:
                return f"a list of {', '.join(map(str, get_args(element)))}"
            return f"a list of {_PLURALS[element]}" if element in _PLURALS else ""
        if get_origin(kind) is dict and _entry(get_args(kind)) in _NOUNS:
            return f"names, each with {_NOUNS[_entry(get_args(kind))]}"
        if kind not in _NOUNS:
            return ""
        return f"{_NOUNS[kind]}{self._range() if kind in (int, float) else ''}{self._usual}"

    def _is_read_by(self, function: Callable[..., Any]) -> bool:
        return any(isinstance(one, BeforeValidator) and one.func is function for one in self._metadata)

    @property
    def _metadata(self) -> list[Any]:
        return [*self.field.metadata, *_unwrapped(self.field.annotation)[1]]

    @property
    def _usual(self) -> str:
        default = self.default
        if default is None or isinstance(default, list | tuple | dict | SecretStr):
            return ""
        return f" (the default is {self._show(default)})"

    def _show(self, value: Any) -> str:
        if self.is_duration:
            return shown_duration(int(value))
        return shown_seconds(value) if self.is_seconds else shown(value)

    def _range(self) -> str:
        show = self._show
        least = most = above = below = None
        for one in self._metadata:
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


def _unwrapped(annotation: Any) -> tuple[Any, list[Any]]:
    """A type without `| None` and without what is said beside it, and what is said beside it."""
    if get_origin(annotation) in (Union, UnionType):
        options = [one for one in get_args(annotation) if one is not NoneType]
        return _unwrapped(options[0]) if len(options) == 1 else (annotation, [])
    if get_origin(annotation) is Annotated:
        inner, *beside = get_args(annotation)
        kind, more = _unwrapped(inner)
        return kind, [one for it in beside for one in (it.metadata if isinstance(it, FieldInfo) else [it])] + more
    return annotation, []


def may_be_empty(field: FieldInfo) -> bool:
    """Whether null is a value of it."""
    return NoneType in get_args(field.annotation)


def held(field: FieldInfo) -> Held | None:
    """The sections that a field holds, or None for one that is a setting itself."""
    kind = _unwrapped(field.annotation)[0]
    if _is_section(kind):
        return Held(Shape.ONE, kind)
    inner = get_args(kind)
    origin = get_origin(kind)
    if origin in (list, tuple) and inner and _is_section(inner[0]):
        return Held(Shape.MANY, inner[0])
    if isinstance(origin, type) and issubclass(origin, Mapping) and len(inner) == 2 and _is_section(inner[1]):
        return Held(Shape.BY_NAME, inner[1])
    return None


def _entry(kinds: tuple[Any, ...]) -> Any:
    """The type of an entry of a list, `X` or `X, ...`, or of a mapping, `name, X`."""
    return kinds[1] if len(kinds) == 2 and kinds[1] is not ... else kinds[0]


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and get_origin(kind) is None and issubclass(kind, Section)


def fields_of(section: type[Section]) -> Mapping[str, FieldInfo]:
    """A section's settings and sections, by name."""
    return section.model_fields


def sections(section: type[Section]) -> Mapping[str, type[Section]]:
    """Those of its fields that are one section each."""
    found = ((name, held(one)) for name, one in fields_of(section).items())
    return {name: one.section for name, one in found if one is not None and one.shape is Shape.ONE}


def settings(section: type[Section], path: Path = ()) -> Iterator[Setting]:
    """Every setting, in the order in which they are printed; a list or mapping of sections is one."""
    inner = sections(section)
    for name, one in fields_of(section).items():
        if name in inner:
            yield from settings(inner[name], (*path, name))
        else:
            yield Setting((*path, name), one)


def find(section: type[Section], path: Path) -> Setting | None:
    """The setting at the path, through lists and mappings of sections; or the entry of a list that it is."""
    for at, step in enumerate(path):
        field = fields_of(section).get(str(step))
        if field is None:
            return None
        inner = held(field)
        rest = path[at + 1 :]
        if inner is None:
            if not rest:
                return Setting(path, field)
            kinds = get_args(_unwrapped(field.annotation)[0])
            return Setting(path, FieldInfo.from_annotation(_entry(kinds))) if kinds and len(rest) == 1 else None
        if inner.shape is not Shape.ONE:
            found = find(inner.section, rest[1:])
            return None if found is None else Setting(path, found.field)
        section = inner.section
    return None


def differing(section: Section) -> list[str]:
    """Names of the settings that are not at their defaults."""
    kind = type(section)
    defaults = kind()
    return [one.name for one in settings(kind) if value_of(section, one.path) != value_of(defaults, one.path)]


def value_of(section: Section, path: Sequence[str | int]) -> Any:
    """A setting's value; None where a section on the way is not there."""
    value: Any = section
    for name in path:
        value = getattr(value, str(name), None)
    return value


def nearest(path: Path, section: type[Section], root: type[Section]) -> str:
    """What may have been meant by a key that the section, at the path within the root, does not have."""
    *outer, key = path
    here = list(fields_of(section))
    # Sections first, then what comes first.
    everywhere: dict[str, str] = {}
    for name in (*_section_names(root), *(one.name for one in settings(root))):
        everywhere.setdefault(name.rpartition(".")[2], name)
    if key in everywhere:
        return f"did you mean {everywhere[key]}?"
    if near := get_close_matches(str(key), here, 1, 0.6):
        return f"did you mean {named((*outer, near[0]))}?"
    if near := get_close_matches(str(key), everywhere, 1, 0.75):
        return f"did you mean {everywhere[near[0]]}?"
    return f"{named(tuple(outer)) or 'the file'} has {', '.join(here)}"


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
